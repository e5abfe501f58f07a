#pragma once

namespace niwaki {

/// The style sheet of report.html, light and dark.
constexpr char kHtmlStyle[] = R"css(
:root{--page:#f6f8f6;--card:#fff;--ink:#1c2420;--muted:#5f6b66;--edge:#dfe5e1;--bar:#2f7d5b;--ghost:#dfe5e1;--range:#b3541e;
--pass:#1f6b48;--pass-back:#e3f3ea;--fail:#a32b22;--fail-back:#fbe7e4;--wait:#8a5a00;--wait-back:#fcf1d9;--calm:#48564f;--calm-back:#e9eeeb}
@media(prefers-color-scheme:dark){:root{--page:#111614;--card:#19201d;--ink:#e4ebe7;--muted:#98a69f;--edge:#2d3833;--bar:#57b88b;
--ghost:#2d3833;--range:#e8935a;--pass:#7fd8ae;--pass-back:#173226;--fail:#ff9d92;--fail-back:#3a1d1a;--wait:#f2c566;--wait-back:#36290f;
--calm:#b4c2bb;--calm-back:#222b27}}
*{box-sizing:border-box}
html{color-scheme:light dark}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:980px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:18px;margin:0 0 12px}
h3{font-size:14px;margin:0 0 4px;overflow-wrap:anywhere}
p{margin:0 0 12px}
.brand{color:var(--muted);font-size:13px;letter-spacing:.04em;margin:0 0 10px}
.lead{color:var(--muted);margin:0 0 20px;overflow-wrap:anywhere}
section{background:var(--card);border:1px solid var(--edge);border-radius:12px;padding:20px 22px;margin:0 0 18px}
.banner{border-radius:12px;padding:16px 22px;margin:0 0 18px;display:flex;gap:18px;align-items:baseline;flex-wrap:wrap;border:1px solid currentColor}
.banner strong{font-size:20px;letter-spacing:.03em}
.banner span{color:var(--ink)}
.pass{color:var(--pass);background:var(--pass-back)}.fail{color:var(--fail);background:var(--fail-back)}
.wait{color:var(--wait);background:var(--wait-back)}.calm{color:var(--calm);background:var(--calm-back)}
.scroll{overflow-x:auto;margin:0 -4px;padding:0 4px}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:7px 14px 7px 0;border-bottom:1px solid var(--edge);vertical-align:top}
th{color:var(--muted);font-weight:600;font-size:12.5px;white-space:nowrap}
tr:last-child td{border-bottom:0}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.name{overflow-wrap:anywhere;min-width:120px}
table.head td{font-size:16px;padding-top:10px;padding-bottom:10px}
table.head td.n,table.head th.n{padding-right:28px}
table.head td.change{font-weight:600}
.worse{color:var(--fail);font-weight:600}
.tag{display:inline-block;border-radius:99px;padding:1px 10px;font-size:12.5px;font-weight:600;white-space:nowrap}
.muted-text{color:var(--muted)}
details{margin-top:10px}
summary{cursor:pointer;color:var(--muted);font-size:13.5px}
svg.plot{display:block;max-width:100%;height:auto;margin:0 0 8px}
svg .ink{fill:var(--ink)}svg .muted{fill:var(--muted)}svg .bar{fill:var(--bar)}svg .ghost{fill:var(--ghost)}
svg .axis{stroke:var(--muted)}svg .whisker{stroke:var(--bar)}svg .curve{stroke:var(--bar)}svg .range{stroke:var(--range)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(270px,1fr));gap:18px}
.notes{margin:14px 0 0}.notes p{margin:0 0 2px;font-size:14px}
pre{background:var(--page);border:1px solid var(--edge);border-radius:8px;padding:12px 14px;margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.55 ui-monospace,"SF Mono",Menlo,"DejaVu Sans Mono",monospace}
code{font:13px ui-monospace,"SF Mono",Menlo,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
ul{margin:0;padding-left:20px}
@media print{body{background:#fff}section,.banner{break-inside:avoid}}
)css";

}  // namespace niwaki
