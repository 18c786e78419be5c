#!/bin/sh
# Kernels and link with the current front end (Vitis 2023.2 and later): untested, no vendor tool was at hand.
#   hls/vitis/compile.sh kv260|u280 [hw|hw_emu]        from the root of the checkout; needs v++ on the PATH
set -eu
board=${1:?kv260 or u280}
target=${2:-hw}
case $board in
kv260) part=xck26-sfvc784-2LV-c clock=3.333ns lanes=16 heads=1 ;;
u280) part=xcu280-fsvh2892-2L-e clock=4.444ns lanes=4 heads=4 ;;
*) echo "no board '$board': take kv260 or u280" >&2; exit 1 ;;
esac
out=build/vitis/$board
mkdir -p "$out"
for top in weight_streamer lane_array tas drs attention replay_ring decoder rows_in rows_out; do
    cat >"$out/$top.cfg" <<CONFIG
part=$part
[hls]
flow_target=vitis
clock=$clock
syn.file=$PWD/hls/fastcar.cpp
syn.cflags=-I$PWD/hls -I$PWD/hls/include -I$PWD/hls/kernels -DFASTCAR_LANES=$lanes -DFASTCAR_HEAD_GROUP=$heads -std=c++17
syn.top=$top
package.output.format=xo
package.output.file=$top.xo
CONFIG
    v++ -c --mode hls --config "$out/$top.cfg" --work_dir "$out/$top"
done
v++ --link --target "$target" --config "hls/vitis/$board.cfg" --config hls/vitis/link.cfg \
    -o "$out/fastcar.$target.xclbin" "$out"/*/*.xo
