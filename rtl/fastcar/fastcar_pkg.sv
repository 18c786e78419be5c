// SPDX-License-Identifier: Apache-2.0
// Types of the FastCar blocks, and the arithmetic of two W4A8 products in one DSP48E2.

package fastcar_pkg;

  localparam int unsigned MaxRows = 32;
  localparam int unsigned MaxWords = 32;  // weight words of a window

  typedef logic [4:0] row_t;
  typedef logic [5:0] count_t;  // 0..32

  // Who decides together (docs/fastcar.md); the numbers are those of the policy register.
  typedef enum logic [1:0] {
    PolicyPerSample = 2'd0,
    PolicyPair      = 2'd1,
    PolicyAll       = 2'd2,
    PolicyMean      = 2'd3
  } policy_e;

  // Why the core stopped, until reset.
  typedef enum logic [1:0] {
    FaultNone      = 2'd0,
    FaultSlave     = 2'd1,  // a read of weights was answered SLVERR
    FaultDecode    = 2'd2,  // or DECERR
    FaultNoRoom    = 2'd3   // a job's inputs do not fit in the lanes
  } fault_e;

  // What one lane does in the last pass: words `first` to `first + words - 1` of a window for the pass's row `slot`.
  typedef struct packed {
    row_t   slot;
    count_t first;
    count_t words;
  } share_t;

  // A region of weights for the streamer. `mlp`: waits for a decision, and is dropped when the whole batch replays.
  // `last`: of the decision's regions.
  typedef struct packed {
    logic [39:0] addr;
    logic [23:0] beats;
    logic        mlp;
    logic        last;
  } region_t;

  // A product of a weight matrix with the rows. `mlp`, `last`: as above, for the index register.
  typedef struct packed {
    logic [9:0]  segments;
    logic [15:0] pairs;
    logic        mlp;
    logic        last;
  } job_t;

  // Two weights, one to each output of a pair, as the multiplier's wide operand: w1 * 2^18 + w0.
  typedef logic [8:0] packed_t;  // the bits above 18, which have lent to a negative w0, and w0

  function automatic packed_t pack_pair(input logic [7:0] pair);
    return {{pair[7], pair[7:4]} - 5'(pair[3]), pair[3:0]};
  endfunction

  function automatic logic signed [22:0] wide_operand(input packed_t pair);
    return $signed({pair[8:4], {14{pair[3]}}, pair[3:0]});
  endfunction

  // A sum of such products, taken apart. Exact while the sum for w0 fits in 18 bits: up to 127 products.
  typedef struct packed {
    logic signed [17:0] odd;   // of w1
    logic signed [17:0] even;  // of w0
  } sums_t;

  function automatic sums_t split_sum(input logic [35:0] sum);
    return sums_t'{odd: sum[35:18] + 18'(sum[17]), even: sum[17:0]};
  endfunction

  // A product of an int10 and an int9 without a multiplier, for devices whose DSPs are spoken for.
  function automatic logic signed [18:0] fabric_product(input logic signed [9:0] a,
                                                        input logic signed [8:0] b);
    logic signed [18:0] sum;
    sum = b[8] ? -(19'(a) <<< 8) : '0;
    for (int unsigned i = 0; i < 8; i++) if (b[i]) sum += 19'(a) <<< i;
    return sum;
  endfunction

  // Two int8 values beside each other as the multiplier's wide operand: the odd one times 2^19, and the low seven bits
  // of the even one. Times a weight of 12 bits the lower product is below 2^19, so that nothing is lent.
  function automatic logic signed [26:0] value_operand(input logic [6:0] even, input logic [7:0] odd);
    return $signed({odd, 12'd0, even});
  endfunction

  // Such a product, taken apart; a negative even value has 128 weights too many.
  typedef struct packed {
    logic signed [19:0] odd;
    logic signed [19:0] even;
  } values_t;

  function automatic values_t split_values(input logic signed [38:0] product, input logic negative,
                                           input logic [11:0] weight);
    return values_t'{
        odd: product[38:19],
        even: $signed({1'b0, product[18:0]}) - (negative ? $signed({1'b0, weight, 7'd0}) : 20'sd0)
    };
  endfunction

endpackage
