"""The style sheet of the report, kept with it so that the page stands alone."""

from __future__ import annotations

__all__ = ["CSS"]

CSS = """
:root{--ink:#1f2933;--muted:#5b6773;--line:#dfe3e8;--soft:#f5f7f9}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI","Noto Sans","Noto Sans CJK SC",sans-serif}
main{max-width:980px;margin:0 auto;padding:36px 24px 64px}
.brand{margin:0;color:var(--muted);font-size:13px;letter-spacing:.04em}
h1{margin:2px 0 10px;font-size:30px;line-height:1.2}
h2{margin:44px 0 6px;padding-top:20px;border-top:2px solid var(--ink);font-size:21px}
h3{margin:28px 0 8px;font-size:16px}
p{margin:6px 0;max-width:74ch}
.lead{font-size:17px}
.meaning,figcaption,.note{color:var(--muted);font-size:13.5px}
code{font:12.5px/1.5 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;overflow-wrap:anywhere}
.badge{display:inline-block;padding:2px 9px;border-radius:4px;font-size:12px;font-weight:650;line-height:1.6;vertical-align:middle;
white-space:nowrap;background:#e9edf1;color:#3b4650}
.badge.pass{background:#dcefe3;color:#1b5e38}
.badge.warn{background:#fbecc8;color:#744c00}
.badge.inconclusive{background:#e8e3f3;color:#4b3a80}
.badge.fail,.badge.harness-error{background:#f8dcd9;color:#8c1d18}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;margin:18px 0 0;font-size:14px}
.facts dt{color:var(--muted)}
.facts dd{margin:0}
.wide{overflow-x:auto}
table{width:100%;border-collapse:collapse;margin:12px 0;font-size:14px}
th{padding:6px 10px;border-bottom:1.5px solid var(--ink);text-align:left;font-weight:600;white-space:nowrap}
td{padding:8px 10px;border-bottom:1px solid var(--line);vertical-align:top}
.verdicts td:first-child{width:1%;white-space:nowrap}
.verdicts td:nth-child(2){width:38%}
.keyword{color:var(--muted);font-size:11.5px}
.figures td:not(:first-child),.figures th:not(:first-child){text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(96px,1fr));gap:1px;margin:10px 0 16px;background:var(--line);
border:1px solid var(--line)}
.tiles div{background:#fff;padding:8px 10px}
.tiles dt{color:var(--muted);font-size:12px;white-space:nowrap}
.tiles dd{margin:0;font-size:18px;font-variant-numeric:tabular-nums;white-space:nowrap}
figure{margin:14px 0 22px}
figure img{display:block;width:100%;height:auto}
figcaption{margin-top:4px}
@media(max-width:640px){main{padding:20px 14px 40px}.facts{grid-template-columns:1fr}.facts dd{margin-bottom:6px}}
@media print{main{max-width:none;padding:0}h2{break-after:avoid}figure,tr{break-inside:avoid}}
"""
