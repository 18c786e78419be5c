"""What the devices of the boards hold, by their data sheets: what a design's resources are a share of."""

from __future__ import annotations

from triptych.sim.view.runs import Resources

DEVICES = {
    "KV260": Resources(luts=117_120, flops=234_240, dsps=1_248, blocks=144, urams=64),  # AMD DS987, K26: XCK26
    "ZCU102": Resources(luts=274_080, flops=548_160, dsps=2_520, blocks=912, urams=0),  # AMD DS891, XCZU9EG
    "U50": Resources(luts=871_680, flops=1_743_360, dsps=5_952, blocks=1_344, urams=640),  # AMD DS965, XCU50
    "U280": Resources(luts=1_303_680, flops=2_607_360, dsps=9_024, blocks=2_016, urams=960),  # AMD DS963, XCU280
}
