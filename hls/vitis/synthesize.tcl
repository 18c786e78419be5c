# Synthesizes every kernel and packs it for v++:
#   vitis_hls -f synthesize.tcl -tclargs u280 4      (board: u280 or kv260; lanes)
# Board, part, clock and query heads of a pass; lanes as in sim/fastcar/boards.py.

set board [lindex $argv 0]
set lanes [lindex $argv 1]
array set parts  {u280 xcu280-fsvh2892-2L-e kv260 xck26-sfvc784-2LV-c}
array set clocks {u280 4.44 kv260 3.33}
array set heads  {u280 4 kv260 1}
if {![info exists parts($board)] || ![string is integer -strict $lanes]} {
    puts stderr "usage: vitis_hls -f synthesize.tcl -tclargs u280|kv260 LANES"
    exit 1
}

set here [file dirname [file normalize [info script]]]
set root [file dirname $here]
set flags "-std=c++17 -I$root -I$root/include -I$root/kernels -DFASTCAR_LANES=$lanes -DFASTCAR_HEAD_GROUP=$heads($board)"

foreach top {weight_streamer lane_array tas drs attention replay_ring decoder rows_in rows_out} {
    open_project -reset "${board}_$top"
    set_top $top
    add_files "$root/fastcar.cpp" -cflags $flags
    open_solution -reset solution -flow_target vitis
    set_part $parts($board)
    create_clock -period $clocks($board) -name default
    config_interface -m_axi_max_widen_bitwidth 512 -m_axi_alignment_byte_size 64
    csynth_design
    export_design -format xo -output "$top.xo"
    close_project
}
exit
