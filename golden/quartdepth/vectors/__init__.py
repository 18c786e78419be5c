"""What commands test and measure the chip with: golden vectors, example programs, networks of one layer."""
