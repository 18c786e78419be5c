// Watches an AXI4 port and ends the simulation at the first offence against the protocol, by manager or subordinate, or
// against what our managers promise beyond it: INCR bursts of whole aligned words, strobes all alike. Bound to the port
// in every simulation (bind_*.sv); plain checks, which also builds without assertions keep.

module axi_checker #(
    parameter int unsigned AddrW     = 32,    // bits of an address
    parameter int unsigned Bytes     = 16,    // of a beat
    parameter int unsigned IdW       = 1,     // bits of an identifier
    parameter int unsigned MaxReads  = 1024,  // bursts of an identifier without data at most: 2^n
    parameter int unsigned MaxWrites = 64,    // bursts without a response at most: 2^n
    parameter bit          Strobes   = 1'b0   // strobes may differ within a word
) (
    input logic               clk_i,
    input logic               rst_ni,
    input logic               ar_valid_i,
    input logic               ar_ready_i,
    input logic [    IdW-1:0] ar_id_i,
    input logic [  AddrW-1:0] ar_addr_i,
    input logic [        7:0] ar_len_i,
    input logic [        2:0] ar_size_i,
    input logic [        1:0] ar_burst_i,
    input logic               r_valid_i,
    input logic               r_ready_i,
    input logic [    IdW-1:0] r_id_i,
    input logic [8*Bytes-1:0] r_data_i,
    input logic [        1:0] r_resp_i,
    input logic               r_last_i,
    input logic               aw_valid_i,
    input logic               aw_ready_i,
    input logic [    IdW-1:0] aw_id_i,
    input logic [  AddrW-1:0] aw_addr_i,
    input logic [        7:0] aw_len_i,
    input logic [        2:0] aw_size_i,
    input logic [        1:0] aw_burst_i,
    input logic               w_valid_i,
    input logic               w_ready_i,
    input logic [8*Bytes-1:0] w_data_i,
    input logic [  Bytes-1:0] w_strb_i,
    input logic               w_last_i,
    input logic               b_valid_i,
    input logic               b_ready_i,
    input logic [    IdW-1:0] b_id_i,
    input logic [        1:0] b_resp_i
);
  localparam int unsigned Ids = 1 << IdW;
  localparam int unsigned ReadW = $clog2(MaxReads);
  localparam int unsigned PlaceW = $clog2(MaxWrites);
  localparam logic [1:0] Incr = 2'b01;
  localparam logic [1:0] ExOkay = 2'b01;

`define AXI_CHECK(condition, text) \
  if (!(condition)) $fatal(1, "AXI: %s", text);

  // -- What was seen in the cycle before: an offer that was not taken stays as it is.

  typedef struct packed {
    logic [IdW-1:0]   id;
    logic [AddrW-1:0] addr;
    logic [7:0]       len;
    logic [2:0]       size;
    logic [1:0]       burst;
  } address_t;

  typedef struct packed {
    logic [IdW-1:0]     id;
    logic [8*Bytes-1:0] data;
    logic [1:0]         resp;
    logic               last;
  } read_t;

  typedef struct packed {
    logic [8*Bytes-1:0] data;
    logic [Bytes-1:0]   strb;
    logic               last;
  } write_t;

  typedef struct packed {
    logic [IdW-1:0] id;
    logic [1:0]     resp;
  } response_t;

  address_t ar, ar_q, aw, aw_q;
  read_t r, r_q;
  write_t w, w_q;
  response_t b, b_q;
  logic ar_waits_q, aw_waits_q, r_waits_q, w_waits_q, b_waits_q;

  int unsigned held = 0;  // cycles in reset
  always @(posedge clk_i) held <= rst_ni ? 0 : held + 1;

  assign ar = {ar_id_i, ar_addr_i, ar_len_i, ar_size_i, ar_burst_i};
  assign aw = {aw_id_i, aw_addr_i, aw_len_i, aw_size_i, aw_burst_i};
  assign r  = {r_id_i, r_data_i, r_resp_i, r_last_i};
  assign w  = {w_data_i, w_strb_i, w_last_i};
  assign b  = {b_id_i, b_resp_i};

  always_ff @(posedge clk_i) begin
    ar_q       <= ar;
    aw_q       <= aw;
    r_q        <= r;
    w_q        <= w;
    b_q        <= b;
    ar_waits_q <= rst_ni && ar_valid_i && !ar_ready_i;
    aw_waits_q <= rst_ni && aw_valid_i && !aw_ready_i;
    r_waits_q  <= rst_ni && r_valid_i && !r_ready_i;
    w_waits_q  <= rst_ni && w_valid_i && !w_ready_i;
    b_waits_q  <= rst_ni && b_valid_i && !b_ready_i;
    if (rst_ni) begin
      `AXI_CHECK(!ar_waits_q || (ar_valid_i && ar == ar_q), "AR is changed or withdrawn before it is taken")
      `AXI_CHECK(!aw_waits_q || (aw_valid_i && aw == aw_q), "AW is changed or withdrawn before it is taken")
      `AXI_CHECK(!r_waits_q || (r_valid_i && r == r_q), "R is changed or withdrawn before it is taken")
      `AXI_CHECK(!w_waits_q || (w_valid_i && w == w_q), "W is changed or withdrawn before it is taken")
      `AXI_CHECK(!b_waits_q || (b_valid_i && b == b_q), "B is changed or withdrawn before it is taken")
      `AXI_CHECK(!$isunknown({ar_valid_i, aw_valid_i, w_valid_i, r_valid_i, b_valid_i}), "a valid is unknown")
      `AXI_CHECK(!$isunknown({ar_ready_i, aw_ready_i, w_ready_i, r_ready_i, b_ready_i}), "a ready is unknown")
      `AXI_CHECK(!ar_valid_i || !$isunknown(ar), "AR is unknown")
      `AXI_CHECK(!aw_valid_i || !$isunknown(aw), "AW is unknown")
      `AXI_CHECK(!w_valid_i || !$isunknown({w_strb_i, w_last_i}), "W is unknown")
    end else if (held > 1) begin  // flops that start with anything have met the reset
      `AXI_CHECK(!(ar_valid_i || aw_valid_i || w_valid_i), "the manager offers something during reset")
    end
  end

  // -- Bursts by themselves.

  function automatic logic within_page(input logic [11:0] offset, input logic [7:0] len);
    return 32'(offset) + (32'(len) + 1) * Bytes <= 4096;
  endfunction

  always_ff @(posedge clk_i) begin
    if (rst_ni && ar_valid_i) begin
      `AXI_CHECK(ar_burst_i == Incr, "AR: burst is not INCR")
      `AXI_CHECK(ar_size_i == 3'($clog2(Bytes)), "AR: size is not the bus' width")
      `AXI_CHECK(ar_addr_i % AddrW'(Bytes) == '0, "AR: address is not aligned")
      `AXI_CHECK(within_page(ar_addr_i[11:0], ar_len_i), "AR: burst crosses 4 KiB")
    end
    if (rst_ni && aw_valid_i) begin
      `AXI_CHECK(aw_burst_i == Incr, "AW: burst is not INCR")
      `AXI_CHECK(aw_size_i == 3'($clog2(Bytes)), "AW: size is not the bus' width")
      `AXI_CHECK(aw_addr_i % AddrW'(Bytes) == '0, "AW: address is not aligned")
      `AXI_CHECK(within_page(aw_addr_i[11:0], aw_len_i), "AW: burst crosses 4 KiB")
    end
    if (rst_ni && w_valid_i) begin
      `AXI_CHECK(Strobes || w_strb_i == '0 || w_strb_i == '1, "W: strobes differ within a word")
    end
  end

  // -- Reads: data come after their address, by identifier in order, as many as were asked for.

  logic [7:0] read_len_q[Ids][MaxReads], read_beat_q[Ids];
  logic [ReadW:0] asked_q[Ids], read_q[Ids];  // bursts: addresses, whole data
  logic ar_taken, r_taken;
  assign ar_taken = ar_valid_i && ar_ready_i;
  assign r_taken  = r_valid_i && r_ready_i;

  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < Ids; i++) begin
      if (!rst_ni) begin
        asked_q[i]     <= '0;
        read_q[i]      <= '0;
        read_beat_q[i] <= '0;
      end else begin
        if (ar_taken && 32'(ar_id_i) == i) begin
          `AXI_CHECK(asked_q[i] - read_q[i] != (ReadW + 1)'(MaxReads), "AR: more reads than agreed")
          read_len_q[i][asked_q[i][ReadW-1:0]] <= ar_len_i;
          asked_q[i] <= asked_q[i] + 1'b1;
        end
        if (r_taken && 32'(r_id_i) == i) begin
          read_beat_q[i] <= r_last_i ? '0 : read_beat_q[i] + 8'd1;
          if (r_last_i) read_q[i] <= read_q[i] + 1'b1;
        end
      end
    end
    if (rst_ni && r_valid_i) begin
      `AXI_CHECK(asked_q[r_id_i] != read_q[r_id_i], "R: data that nobody asked for")
      `AXI_CHECK(r_last_i == (read_beat_q[r_id_i] == read_len_q[r_id_i][read_q[r_id_i][ReadW-1:0]]),
                 "R: RLAST is not at the burst's end")
      `AXI_CHECK(r_resp_i != ExOkay, "R: EXOKAY without an exclusive access")
    end
  end

  // -- Writes: bursts of data belong to addresses in order, either may come first; a response comes after both.

  typedef logic [PlaceW-1:0] place_t;
  localparam int unsigned CountW = PlaceW + 2;
  typedef logic [CountW-1:0] count_t;

  logic [7:0] write_len_q[MaxWrites], data_len_q[MaxWrites], beat_q;
  logic [IdW-1:0] write_id_q[MaxWrites];
  count_t addressed_q, complete_q, answered_q;  // bursts: addresses, whole data, responses taken
  logic aw_taken, w_taken, b_taken;
  assign aw_taken = aw_valid_i && aw_ready_i;
  assign w_taken  = w_valid_i && w_ready_i;
  assign b_taken  = b_valid_i && b_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      addressed_q <= '0;
      complete_q  <= '0;
      answered_q  <= '0;
      beat_q      <= '0;
    end else begin
      if (aw_taken) begin
        `AXI_CHECK(addressed_q - answered_q < count_t'(MaxWrites), "AW: more writes than agreed")
        if (count_t'(complete_q - addressed_q) - 1'b1 < count_t'(MaxWrites)) begin  // its data are complete
          `AXI_CHECK(data_len_q[place_t'(addressed_q)] == aw_len_i, "W: WLAST was not at the burst's end")
        end else if (complete_q == addressed_q) begin  // they may have begun
          `AXI_CHECK(beat_q <= aw_len_i, "W: more data than the burst holds")
        end
        write_len_q[place_t'(addressed_q)] <= aw_len_i;
        write_id_q[place_t'(addressed_q)]  <= aw_id_i;
        addressed_q <= addressed_q + 1'b1;
      end
      // The address of these data is known, or is taken now.
      if (w_valid_i && count_t'(addressed_q - complete_q) - 1'b1 < count_t'(MaxWrites)) begin
        `AXI_CHECK(w_last_i == (beat_q == write_len_q[place_t'(complete_q)]),
                   "W: WLAST is not at the burst's end")
      end else if (w_valid_i && aw_taken && complete_q == addressed_q) begin
        `AXI_CHECK(w_last_i == (beat_q == aw_len_i), "W: WLAST is not at the burst's end")
      end
      if (w_taken) begin
        beat_q <= w_last_i ? '0 : beat_q + 8'd1;
        `AXI_CHECK(w_last_i || beat_q != 8'd255, "W: more data than any burst holds")
        `AXI_CHECK(complete_q - answered_q < count_t'(MaxWrites), "W: more data than agreed are ahead")
        if (w_last_i) begin
          data_len_q[place_t'(complete_q)] <= beat_q;
          complete_q <= complete_q + 1'b1;
        end
      end
      if (b_valid_i) begin
        `AXI_CHECK(answered_q != addressed_q && answered_q != complete_q,
                   "B: a response before address and data")
        `AXI_CHECK(b_resp_i != ExOkay, "B: EXOKAY without an exclusive access")
        `AXI_CHECK(b_id_i == write_id_q[place_t'(answered_q)], "B: a response for another identifier")
      end
      if (b_taken) answered_q <= answered_q + 1'b1;
    end
  end
`undef AXI_CHECK
endmodule
