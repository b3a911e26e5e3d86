"""The style of the pages that coachman writes: inline, because a page is one file."""

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --back: #fbfaf8; --card: #fff; --text: #1d1f23; --quiet: #5d636e;
  --line: #dcdad4; --bad: #b3261e; --good: #1b6e3c; --code: #f3f1ec; --bar: #7b93c4;
  --hint: #fdf6df; --edge: #c9a227; }
@media (prefers-color-scheme: dark) { :root { --back: #16181c; --card: #1e2126; --text: #e6e6e3;
  --quiet: #a2a8b3;  --line: #363b44; --bad: #ff8a80; --good: #7fd39b; --code: #14161a; --bar: #6f8fd0;
  --hint: #2b2718; --edge: #d9b640; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem 1rem 3rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main, footer { max-width: 62rem; margin: 0 auto; }
h1 { font-size: 1.45rem; line-height: 1.3; margin: .2rem 0 .6rem; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.bad h1 { color: var(--bad); }
.good h1 { color: var(--good); }
h2, summary { font-size: 1.05rem; font-weight: 600; margin: 1.8rem 0 .5rem; }
summary { cursor: pointer; padding: .15rem 0; }
details { margin: 0; }
details > summary { margin-top: 1.2rem; }
.over, footer { color: var(--quiet); font-size: .9rem; overflow-wrap: anywhere; }
.where { margin: 0; overflow-wrap: anywhere; }
.hint { margin: 1.2rem 0; padding: .8rem 1rem; background: var(--hint); border-left: .3rem solid var(--edge);
  border-radius: .3rem; overflow-wrap: anywhere; }
.hint b { display: block; }
pre, code, .mono { font-family: ui-monospace, SFMono-Regular, "DejaVu Sans Mono", Menlo, monospace; }
pre { margin: 0; padding: .8rem 1rem; background: var(--code); border: 1px solid var(--line);
  border-radius: .4rem; font-size: .84rem; line-height: 1.45; overflow-x: auto; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.hint code { background: var(--code); border-radius: .25rem; padding: .05rem .3rem; font-size: .88em; }
pre i { font-style: normal; color: var(--quiet); user-select: none; }
table { width: 100%; border-collapse: collapse; background: var(--card); border: 1px solid var(--line);
  border-radius: .4rem; font-size: .9rem; }
td, th { padding: .35rem .7rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line);
  overflow-wrap: anywhere; }
tr:first-child > * { border-top: 0; }
th { font-weight: 500; color: var(--quiet); }
.facts th { width: 30%; min-width: 7rem; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th.number { white-space: normal; }
.bar { width: 45%; }
.bar span { display: block; height: .7rem; margin-top: .45rem; min-width: 2px; border-radius: .2rem;
  background: var(--bar); }
.failed th, .failed td { color: var(--bad); font-weight: 600; }
.failed .bar span { background: var(--bad); }
footer { margin-top: 2.5rem; padding-top: .8rem; border-top: 1px solid var(--line); }
@media (max-width: 40rem) { body { padding: 1rem .8rem 2rem; font-size: 15px; } h1 { font-size: 1.2rem; }
  pre { font-size: .78rem; padding: .6rem .7rem; } td, th { padding: .3rem .4rem; } .bar { width: 30%; }
  table { font-size: .84rem; } }
"""
