//! A page of HTML in one file: no script, no font, no picture from elsewhere. Plots are SVG.
//!
//! INVARIANT: whatever comes from outside goes through [`escape`]; nothing else writes `<`.

use crate::base::count::nearest_f64;
use crate::base::text::escaped;

/// How a bar is filled.
const FILLS: [&str; 3] = ["fraud", "genuine", "unknown"];

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;color:#1a2230;background:#fff;max-width:74rem;margin:2rem auto;padding:0 1.5rem}\
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}p{margin:.4rem 0}small,.note{color:#5b6675}\
table{border-collapse:collapse;width:100%;font-size:.86rem}\
th,td{padding:.3rem .55rem;text-align:right;border-bottom:1px solid #e3e7ee;white-space:nowrap}\
th{border-bottom:2px solid #b9c2d0}td.t,th.t{text-align:left}td.wrap{white-space:normal}\
.scroll{overflow-x:auto}svg{display:block;max-width:100%;height:auto;font:12px system-ui,sans-serif}\
svg text{fill:#1a2230}svg .faint{fill:#5b6675}svg .axis{stroke:#b9c2d0;fill:none}svg .grid{stroke:#eef1f5}\
.fraud{fill:#c2410c}.genuine{fill:#7b93b8}.unknown{fill:#cfd6e1}.line{fill:none;stroke:#c2410c;stroke-width:2}\
.dot{fill:#2f5d9b;fill-opacity:.75}.cell{fill:#2f5d9b}\
@media(prefers-color-scheme:dark){body{background:#12161d;color:#e4e8ef}th,td{border-color:#2a3240}\
th{border-color:#46536a}svg text{fill:#e4e8ef}svg .faint,small,.note{fill:#9aa6b8;color:#9aa6b8}svg .grid{stroke:#222a36}}";

/// Text as it may stand between and inside of tags.
pub fn escape(text: &str) -> String {
    escaped(text, |letter, out| match letter {
        '\'' => out.push_str("&#39;"),
        '\t' | '\n' => out.push(letter),
        _ if letter.is_control() => out.push('\u{fffd}'),
        _ => out.push(letter),
    })
}

/// A whole page around its body.
pub fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    )
}

/// A section with its heading.
pub fn section(heading: &str, note: &str, content: &str) -> String {
    let note = if note.is_empty() {
        String::new()
    } else {
        format!("<p class=\"note\">{}</p>\n", escape(note))
    };
    format!("<section>\n<h2>{}</h2>\n{note}{content}</section>\n", escape(heading))
}

/// A table; the first `n_texts` columns hold texts.
pub fn table(header: &[&str], rows: &[Vec<String>], n_texts: usize) -> String {
    let class = |column: usize| if column < n_texts { " class=\"t\"" } else { "" };
    let line = |cells: &[String], tag: &str| {
        let cells = cells
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("<{tag}{}>{}</{tag}>", class(column), escape(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let body: String = rows.iter().map(|row| line(row, "td")).collect();
    format!(
        "<div class=\"scroll\"><table>\n<thead>{}</thead>\n<tbody>\n{body}</tbody>\n</table></div>\n",
        line(&header, "th")
    )
}

/// A number of pixels for an SVG attribute.
fn scaled(part: u64, whole: u64, length: f64) -> f64 {
    if whole == 0 { 0.0 } else { nearest_f64(part) / nearest_f64(whole) * length }
}

fn at(index: usize, step: f64) -> f64 {
    nearest_f64(index as u64) * step
}

/// Lying bars, each a name and up to three parts: fraud, genuine, unknown.
pub fn bars(label: &str, rows: &[(String, [u64; 3])]) -> String {
    let (left, width, step) = (260.0, 620.0, 24.0);
    let largest = rows.iter().map(|(_, parts)| parts.iter().sum()).max().unwrap_or(0);
    let height = at(rows.len(), step) + 8.0;
    let mut out = open_svg(label, left + width + 90.0, height);
    for (index, (name, parts)) in rows.iter().enumerate() {
        let y = at(index, step) + 4.0;
        out.push_str(&text(left - 8.0, y + 13.0, "end", "", &shortened(name, 38)));
        let mut x = left;
        for (part, fill) in parts.iter().zip(FILLS) {
            let length = scaled(*part, largest, width);
            if *part > 0 {
                out.push_str(&format!(
                    "<rect class=\"{fill}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"16\"/>\n",
                    length.max(0.6)
                ));
            }
            x += length;
        }
        let total: u64 = parts.iter().sum();
        out.push_str(&text(x + 6.0, y + 13.0, "start", "faint", &total.to_string()));
    }
    out + "</svg>\n"
}

/// Standing bars over days, with the days at both ends.
pub fn days(label: &str, values: &[(String, u64)]) -> String {
    let (left, width, height) = (60.0, 880.0, 180.0);
    let largest = values.iter().map(|(_, value)| *value).max().unwrap_or(0);
    let mut out = open_svg(label, left + width + 10.0, height + 40.0);
    out.push_str(&frame(left, width, height, (largest.to_string(), "0".to_owned())));
    let step = width / at(values.len().max(1), 1.0);
    for (index, (day, value)) in values.iter().enumerate() {
        let (x, tall) = (left + at(index, step), scaled(*value, largest, height));
        out.push_str(&format!(
            "<rect class=\"genuine\" x=\"{x:.2}\" y=\"{:.1}\" width=\"{:.2}\" height=\"{tall:.1}\"><title>{}</title></rect>\n",
            10.0 + height - tall,
            (step * 0.86).max(0.5),
            escape(&format!("{day}: {value}"))
        ));
    }
    let ends = [(values.first(), left, "start"), (values.last(), left + width, "end")];
    for (value, x, anchor) in ends {
        if let Some((day, _)) = value {
            out.push_str(&text(x, height + 28.0, anchor, "faint", day));
        }
    }
    out + "</svg>\n"
}

/// Points in the unit square: recall to the right, precision upwards; each with a name.
pub fn scatter(label: &str, points: &[(String, f64, f64)]) -> String {
    let (left, side) = (60.0, 420.0);
    let mut out = open_svg(label, left + side + 320.0, side + 50.0);
    out.push_str(&frame(left, side, side, ("100 %".to_owned(), "0 %".to_owned())));
    out.push_str(&text(left + side, side + 28.0, "end", "faint", "recall 100 %"));
    out.push_str(&text(left, side + 28.0, "start", "faint", "0 %   precision upwards"));
    for (name, recall, precision) in points {
        let (x, y) = (left + recall * side, 10.0 + (1.0 - precision) * side);
        out.push_str(&format!(
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{}</title></circle>\n",
            escape(&format!("{name}: precision {precision:.3}, recall {recall:.3}"))
        ));
        out.push_str(&text(x + 8.0, y + 4.0, "start", "faint", &shortened(name, 30)));
    }
    out + "</svg>\n"
}

/// A curve through points: to the right the first value, upwards the second, 0 to 1.
pub fn curve(label: &str, x_name: &str, points: &[(u64, f64, String)]) -> String {
    let (left, width, height) = (60.0, 720.0, 320.0);
    let largest = points.iter().map(|(x, ..)| *x).max().unwrap_or(0);
    let mut out = open_svg(label, left + width + 160.0, height + 50.0);
    out.push_str(&frame(left, width, height, ("100 %".to_owned(), "0 %".to_owned())));
    let place = |x: u64, y: f64| (left + scaled(x, largest, width), 10.0 + (1.0 - y) * height);
    let mut sorted: Vec<&(u64, f64, String)> = points.iter().collect();
    sorted.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
    let path = sorted.iter().map(|(x, y, _)| {
        let (x, y) = place(*x, *y);
        format!("{x:.1},{y:.1}")
    });
    let path = path.collect::<Vec<_>>().join(" ");
    out.push_str(&format!("<polyline class=\"line\" points=\"{path}\"/>\n"));
    for (x, y, name) in sorted {
        let (x, y) = place(*x, *y);
        let name = escape(name);
        out.push_str(&format!(
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{name}</title></circle>\n"
        ));
        out.push_str(&text(x + 7.0, y - 6.0, "start", "faint", &shortened(&name, 24)));
    }
    out.push_str(&text(
        left + width,
        height + 28.0,
        "end",
        "faint",
        &format!("{x_name} {largest}"),
    ));
    out + "</svg>\n"
}

/// A square of shares: how much of the row's hits the column has too.
pub fn heat(label: &str, names: &[String], share: impl Fn(usize, usize) -> Option<f64>) -> String {
    let (left, top, cell) = (240.0, 40.0, 24.0);
    let side = at(names.len(), cell);
    let mut out = open_svg(label, left + side + 20.0, top + side + 10.0);
    for (row, name) in names.iter().enumerate() {
        let y = top + at(row, cell);
        out.push_str(&text(left - 8.0, y + 16.0, "end", "", &shortened(name, 34)));
        let x = left + at(row, cell) + 8.0;
        out.push_str(&text(x, top - 8.0, "middle", "faint", &(row + 1).to_string()));
        for (column, other) in names.iter().enumerate() {
            let Some(share) = share(row, column).filter(|share| *share > 0.0) else { continue };
            let words = escape(&format!("{:.1} % of {name} hit {other} too", share * 100.0));
            out.push_str(&format!(
                "<rect class=\"cell\" x=\"{:.1}\" y=\"{y:.1}\" width=\"22\" height=\"22\" fill-opacity=\"{:.3}\"><title>{words}</title></rect>\n",
                left + at(column, cell),
                share.max(0.08)
            ));
        }
    }
    out + "</svg>\n"
}

fn open_svg(label: &str, width: f64, height: f64) -> String {
    format!(
        "<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\">\n",
        escape(label)
    )
}

fn frame(left: f64, width: f64, height: f64, (high, low): (String, String)) -> String {
    let bottom = 10.0 + height;
    let mut out =
        format!("<path class=\"axis\" d=\"M{left:.1} 10V{bottom:.1}H{:.1}\"/>\n", left + width);
    out.push_str(&text(left - 6.0, 16.0, "end", "faint", &high));
    out.push_str(&text(left - 6.0, bottom, "end", "faint", &low));
    out
}

fn text(x: f64, y: f64, anchor: &str, class: &str, words: &str) -> String {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    format!(
        "<text{class} x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
        escape(words)
    )
}

fn shortened(words: &str, chars: usize) -> String {
    if words.chars().count() <= chars {
        return words.to_owned();
    }
    words.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}
