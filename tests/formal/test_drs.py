"""DRS, formally: who decides, is mapped, is issued, what is streamed. Each proof has bugs that must refute it."""

from __future__ import annotations

import pytest

from tests.formal.proof import Verdict, prove

SEQUENTIAL = {"prove_policy", "prove_filter", "prove_streamer"}
REACHED = {"prove_streamer": (1, 2)}
TOPS = ("prove_map", "prove_policy", "prove_filter", "prove_pack", "prove_values", "prove_product", "prove_streamer")
PLANS = [(16, 16), (4, 4), (3, 5)]

BUGS = {
    "two mapping entries swapped": (
        "prove_map", "drs_map.sv", "    count_o = ahead;", "    count_o = ahead; place_o[3] = place_o[4];",
    ),
    "a row is never mapped": ("prove_map", "drs_map.sv", "if (index_i[r] &&", "if (r != 9 && index_i[r] &&"),
    "a replayed row is mapped": ("prove_map", "drs_map.sv", "if (index_i[r] &&", "if ((r == 5 || index_i[r]) &&"),
    ">= for >": ("prove_policy", "drs_policy.sv", ": sum_d > 0)", ": sum_d >= 0)"),
    ">= for > in ALL": ("prove_policy", "drs_policy.sv", "&& excess > 0", "&& excess >= 0"),
    "the cap of a partner is forgotten": (
        "prove_policy", "drs_policy.sv", "may_d   = (first || may_q) &&", "may_d   =",
    ),
    "a share ends a word early": (
        "prove_plan", "drs_plan.sv", "words = count_t'((Words + ", "words = count_t'((Words - 1 + ",
    ),
    "a share begins where its neighbour does": ("prove_plan", "drs_plan.sv", "part = count_t'(k / m);", "part = 0;"),
    "a replayed row is issued": (
        "prove_filter", "drs_filter.sv", "assign take    = valid_i && ready_o && index_i[row_i];",
        "assign take    = valid_i && ready_o;",
    ),
    "a stalled command is lost": (
        "prove_filter", "drs_filter.sv", "assign valid_d = take || (valid_o && !ready_i);", "assign valid_d = take;",
    ),
    "a command waits without a reason": (
        "prove_filter", "drs_filter.sv", "assign ready_o = !valid_o || ready_i;", "assign ready_o = !valid_o;",
    ),
    "a lane of the last pass is left out": (
        "prove_filter", "drs_filter.sv", "count_t'(share_i[k].slot) == slot",
        "count_t'(share_i[k].slot) == slot && k != 1",
    ),
    "the last row's bit stays": ("prove_policy", "drs_policy.sv", "(row_q == '0) ? '0 : index_q;", "index_q;"),
    "a command goes to another's lane": (
        "prove_filter", "drs_filter.sv", ": slot == count_t'(k);", ": slot == count_t'(k ^ 1);",
    ),
    "an empty region is asked for": (
        "prove_streamer", "weight_streamer.sv", "active_d = region_i.beats != '0;", "active_d = 1'b1;",
    ),
    "a region behind one that is dropped has its address": (
        "prove_streamer", "weight_streamer.sv", "region_i.mlp && decision_skip_i;",
        "region_i.mlp && decision_skip_i && active_q;",
    ),
    "room is promised twice": (
        "prove_streamer", "weight_streamer.sv", "room_q >= CountW'(burst)", "room_q + 1'b1 >= CountW'(burst)",
    ),
    "no borrow for a negative weight": ("prove_pack", "fastcar_pkg.sv", " - 5'(pair[3])", ""),
    "a negative value is a large one": ("prove_values", "fastcar_pkg.sv", "(negative ? ", "(1'b0 ? "),
    "values a place apart": ("prove_values", "fastcar_pkg.sv", "odd: product[38:19]", "odd: product[37:18]"),
    "the right one's sign is a place like others": (
        "prove_product", "lut_multiplier.sv", "(b == Right - 1) ? halved - addend", "(b == Right) ? halved - addend",
    ),
    "no carry back": ("prove_pack", "fastcar_pkg.sv", " + 18'(sum[17])", ""),
}  # fmt: skip


LONG = {"prove_product"}  # all products of nine bits, by look-up tables: nearly two minutes


@pytest.mark.parametrize("top", [pytest.param(top, marks=[pytest.mark.slow] * (top in LONG)) for top in TOPS])
def test_proof(top: str) -> None:
    assert prove(top, sequential=top in SEQUENTIAL) is Verdict.PROVEN


@pytest.mark.parametrize(("lanes", "words"), PLANS)
def test_plan(lanes: int, words: int) -> None:
    assert prove("prove_plan", parameters={"Lanes": lanes, "Words": words}) is Verdict.PROVEN


@pytest.mark.parametrize(("top", "reach"), [(top, n) for top, numbers in REACHED.items() for n in numbers])
def test_reached(top: str, reach: int) -> None:
    assert prove(top, sequential=True, parameters={"Reach": reach}) is Verdict.REFUTED


@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_is_refuted(name: str) -> None:
    top, *planted = BUGS[name]
    file, text, bug = planted
    verdict = prove(top, sequential=top in SEQUENTIAL, planted=(file, text, bug))
    assert verdict is Verdict.REFUTED
