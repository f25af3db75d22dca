"""Forty texts of strangers that would be something else than text, where a page forgot that they are."""

PAYLOADS = (
    "<script>window.hit=1</script>", "<img src=x onerror=window.hit=1>", "<svg/onload=window.hit=1>",
    '"><script>window.hit=1</script>', "'><img src=x onerror=window.hit=1>", "javascript:window.hit=1",
    "[a](javascript:window.hit=1)", "![x](http://evil.example/t.png)", "[x]: javascript:window.hit=1\n\n[x]",
    "<iframe srcdoc='<script>parent.hit=1</script>'>", "<a href=javascript:window.hit=1>x</a>",
    "<details open ontoggle=window.hit=1>", "<body onload=window.hit=1>", "<input autofocus onfocus=window.hit=1>",
    "<math><mi//xlink:href='data:x,<script>window.hit=1</script>'>", "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//evil.example/a.css>", "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example/>", "<form action=//evil.example><button>x", "</title><script>window.hit=1</script>",
    "</textarea><script>window.hit=1</script>", "<!--<script>window.hit=1</script>-->", "{{7*7}}",
    "{% include 'base.html' %}", "${7*7}", "<x hx-get=/ hx-trigger=load>", "<x hx-on:load=window.hit=1>",
    "<x data-hx-on--after-request='window.hit=1'>",
    "<object data=//evil.example>", "<embed src=//evil.example>", "<video><source onerror=window.hit=1>",
    "<svg><animate onbegin=window.hit=1 attributeName=x>", "<svg><use href=//evil.example#x>", "\u202egnp.exe",
    "\x1b[2J\x07", "a\u2028window.hit=1", "<a href='data:text/html,<script>window.hit=1</script>'>d</a>",
    "[d](data:text/html;base64,PHNjcmlwdD4=)", "<template><script>window.hit=1</script></template>",
)  # fmt: skip
