"""Plain identifiers for generated Verilog: no escapes, no double underscores, no reserved words."""

import re
from collections.abc import Iterable

# ruff: noqa: SIM905
#: Reserved words of SystemVerilog (IEEE 1800-2017, Annex B), which include those of Verilog.
KEYWORDS = frozenset(
    """
    accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins
    binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const
    constraint context continue cover covergroup coverpoint cross deassign default defparam design disable dist do edge
    else end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface endmodule
    endpackage endprimitive endprogram endproperty endsequence endspecify endtable endtask enum event eventually expect
    export extends extern final first_match for force foreach forever fork forkjoin function generate genvar global
    highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies import incdir include initial inout input
    inside instance int integer interconnect interface intersect join join_any join_none large let liblist library
    local localparam logic longint macromodule matches medium modport module nand negedge nettype new nexttime nmos nor
    noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge primitive priority program
    property protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase
    randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0
    rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled
    signed small soft solve specify specparam static string strong strong0 strong1 struct super supply0 supply1
    sync_accept_on sync_reject_on table tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri
    tri0 tri1 triand trior trireg type typedef union unique unique0 unsigned until until_with untyped use uwire var
    vectored virtual void wait wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
    """.split()
)

_TOKEN = re.compile(
    r"\\(?P<escaped>\S+) |(?P<plain>(?<![\w$'.])\.?[A-Za-z_][\w$]*)|(?P<skip>\"[^\"\n]*\"|//[^\n]*)"
)


def plain_name(name: str) -> str:
    """Return the plain identifier for a name: letters, digits and single underscores, and no reserved word."""
    plain = re.sub(r"_+", "_", re.sub(r"\W", "_", name)).rstrip("_")
    if not plain or plain[0].isdigit():
        plain = f"n{plain}"
    return f"{plain}_" if plain in KEYWORDS else plain


def port_name(path: Iterable[object]) -> str:
    """Return the name of a port in Verilog from its path in a component, e.g. ``("memory", "read_valid")``."""
    return "_".join(map(str, path))


def plain_identifiers(verilog: str) -> str:
    """Replace escaped identifiers and double underscores in Verilog text. Different names stay different.

    Names that are plain already keep their spelling. Names that Yosys makes for unnamed wires (``_12_``) do too.
    """
    tokens = [match for match in _TOKEN.finditer(verilog) if not match["skip"]]
    plain = {match["plain"].lstrip(".") for match in tokens if match["plain"]}
    wanted = {match["escaped"] for match in tokens if match["escaped"]} | {n for n in plain if "__" in n}
    taken = plain - wanted
    names = {}
    for name in sorted(wanted):
        base = found = plain_name(name)
        number = 2
        while found in taken:
            found, number = f"{base}_{number}", number + 1
        taken.add(found)
        names[name] = found

    def replaced(match: re.Match[str]) -> str:
        if match["escaped"]:
            return names[match["escaped"]]
        if match["plain"]:
            dot, word = match["plain"].startswith("."), match["plain"].lstrip(".")
            return "." * dot + (names[word] if "__" in word else word)
        return match[0]

    return _TOKEN.sub(replaced, verilog)
