#!/usr/bin/env python3
"""The report in headless Chromium: nothing on the console, nothing fetched, every figure drawn, its
text neither cut off nor overlapping, in the light and the dark theme and on paper.

    test_report_page.py                      # synthetic rows, and those of a real sweep
    test_report_page.py --shots FOLDER DIR   # PNG and PDF of DIR/report.html, to look at"""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent)]
import browser  # noqa: E402
import paths  # noqa: F401,E402
import report  # noqa: E402
import synthetic_rows  # noqa: E402

SKIPPED = 77
CONTRAST_TEXT = 4.5   # WCAG 2, AA
CONTRAST_LINE = 2.5

# Boxes of all figures, and what is wrong with their texts: outside of the figure, or over another.
LOOK = """(() => [...document.querySelectorAll('figure svg')].map(svg => {
  const box = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim());
  const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect(), t.getAttribute('class')]);
  const outside = boxes.filter(([, b]) => b.left < box.left - 3 || b.right > box.right + 3 ||
    b.top < box.top - 3 || b.bottom > box.bottom + 3).map(([text]) => text);
  const over = [];
  boxes.forEach(([text, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {
    const w = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (w > 2 && h > 4.5) over.push(text + ' / ' + other);
  }));
  const empty = [...svg.querySelectorAll('path, rect')].filter(e => {
    const b = e.getBBox(); return b.width + b.height === 0; }).length;
  return {id: svg.closest('figure').id, width: box.width, height: box.height,
          shapes: svg.querySelectorAll('path.d, path.l, rect').length, outside, over, empty};
}))()"""

# [[class, contrast with the page]] of what is drawn, as the style sheet resolves it. A canvas turns
# any colour into numbers.
CONTRAST = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const light = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => {
      v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const page = light(getComputedStyle(document.body).backgroundColor);
  const found = {};
  for (const e of document.querySelectorAll('svg path.l, svg text, p, td, th')) {
    const style = getComputedStyle(e), name = e.tagName + '.' + (e.getAttribute('class') || '');
    const color = e.tagName === 'path' ? style.stroke : e.tagName === 'text' ? style.fill
      : style.color;
    if (!/\\b[vs] i\\d/.test(name)) found[name] = ratio(light(color), page);
    else {  // on a cell of a map: against the cell
      const level = name.match(/i(\\d+)/)[1], cell = document.querySelector('rect.q' + level);
      found[name] = ratio(light(color), light(getComputedStyle(cell).fill)); }
  }
  return Object.entries(found); })()"""


# Of a real sweep of 100 s on a busy machine (its histograms coarsened to 10 %): rows that count,
# disturbed ones, and saturations that were not found.
REAL = pathlib.Path(__file__).resolve().parent / "rows/short_sweep.jsonl"


def made(folder, preset):
    text = REAL.read_text(encoding="utf-8") if preset == "real" else "".join(
        json.dumps(row) + "\n" for row in synthetic_rows.preset(preset))
    (folder / "rows.jsonl").write_text(text, encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()):
        report.make(folder)
    return folder / "report.html"


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.addClassCleanup(cls.stack.close)
        folder = pathlib.Path(cls.stack.enter_context(
            tempfile.TemporaryDirectory(prefix="mayfly-page-")))
        cls.pages = {}
        for preset in ("density", "tiny-nf", "wake", "sending-rate", "packet-size", "names",
                       "real"):
            (folder / preset).mkdir()
            cls.pages[preset] = made(folder / preset, preset)
        cls.browser = cls.stack.enter_context(browser.Browser())

    def each(self):
        for preset, page in self.pages.items():
            for scheme, media in (("light", "screen"), ("dark", "screen"), ("dark", "print")):
                self.browser.open(page, scheme=scheme, media=media)
                yield f"{preset} {scheme} {media}"

    def test_figures_are_drawn_whole(self):
        for name in self.each():
            found = self.browser.run(LOOK)
            self.assertGreater(len(found), 3)
            for figure in found:
                self.assertGreater(figure["width"], 500, figure)
                self.assertGreater(figure["height"], 90, figure)
                self.assertGreater(figure["shapes"], 2, figure)
                self.assertEqual((figure["outside"], figure["over"], figure["empty"]), ([], [], 0),
                                 f"{name} {figure['id']}")

    def test_nothing_is_said_on_the_console_and_nothing_fetched(self):
        self.browser.console.clear()
        self.browser.requests.clear()
        pages = {f"file://{p}" for p in self.pages.values()}
        for _ in self.each():
            self.assertEqual(self.browser.console, [])
        self.assertLessEqual(set(self.browser.requests), pages)

    def test_everything_stands_out_from_the_page(self):
        for name in self.each():
            low = [(what, contrast) for what, contrast in self.browser.run(CONTRAST)
                   if contrast < (CONTRAST_LINE if what.startswith("path") else CONTRAST_TEXT)]
            self.assertEqual(low, [], name)

    def test_the_themes_differ_and_paper_is_light(self):
        def lightness(scheme, media):
            self.browser.open(self.pages["density"], scheme=scheme, media=media)
            colour = self.browser.run("getComputedStyle(document.body).backgroundColor")
            return int(colour.split("(")[1].split(",")[0])
        self.assertGreater(lightness("light", "screen"), 200)
        self.assertLess(lightness("dark", "screen"), 60)
        self.assertGreater(lightness("dark", "print"), 200)

    def test_it_fits_a_narrow_window(self):
        for page in self.pages.values():
            self.browser.open(page, width=390)
            self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), 391)


def shots(folder, source):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with browser.Browser() as b:
        for scheme in ("light", "dark"):
            b.open(pathlib.Path(source) / "report.html", scheme=scheme)
            b.screenshot(folder / f"{scheme}.png")
        b.pdf(folder / "print.pdf")


if __name__ == "__main__":
    if not browser.find():
        print("SKIPPED: no chromium here; apt-get install chromium")
        sys.exit(SKIPPED)
    if len(sys.argv) == 4 and sys.argv[1] == "--shots":
        shots(*sys.argv[2:])
        sys.exit(0)
    unittest.main()
