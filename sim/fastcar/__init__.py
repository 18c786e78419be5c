"""FastCar's commands: videos, studies, co-simulation."""
