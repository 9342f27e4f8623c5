//! The report as Markdown and as a page of HTML that needs nothing else, both of the same blocks.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::fmt::Write;

/// A piece of the report.
pub(crate) enum Block {
    /// The heading of a section.
    Heading(String),
    /// The heading of a part of one.
    Subheading(String),
    /// A paragraph.
    Paragraph(String),
    /// A table.
    Table(Table),
    /// A plot.
    Plot {
        /// What it shows.
        caption: String,
        /// The plot.
        svg: String,
    },
}

/// A table.
pub(crate) struct Table {
    /// What it shows.
    pub(crate) caption: String,
    /// The names of the columns.
    pub(crate) head: Vec<&'static str>,
    /// How many columns, from the left, hold words; the others hold numbers.
    pub(crate) words: usize,
    /// The cells.
    pub(crate) rows: Vec<Vec<String>>,
}

/// The file of a plot, by its number in the report.
pub(crate) fn plot_file(number: usize) -> String {
    format!("plots/{number:02}.svg")
}

/// The plots of the report, in their order.
pub(crate) fn plots(blocks: &[Block]) -> impl Iterator<Item = &str> {
    blocks.iter().filter_map(|block| match block {
        Block::Plot { svg, .. } => Some(svg.as_str()),
        _ => None,
    })
}

/// The report as Markdown; plots are files beside it.
pub(crate) fn markdown(title: &str, blocks: &[Block]) -> String {
    let (mut page, mut plots) = (format!("# {}\n", plain(title)), 0);
    let mut put = |text: String| page.push_str(&text);
    for block in blocks {
        match block {
            Block::Heading(text) => put(format!("\n## {}\n", plain(text))),
            Block::Subheading(text) => put(format!("\n### {}\n", plain(text))),
            Block::Paragraph(text) => put(format!("\n{}\n", plain(text))),
            Block::Table(table) => put(markdown_table(table)),
            Block::Plot { caption, .. } => {
                plots += 1;
                put(format!("\n![{}]({})\n\n*{}*\n", plain(caption), plot_file(plots), plain(caption)));
            }
        }
    }
    page
}

fn markdown_table(table: &Table) -> String {
    let row =
        |cells: &mut dyn Iterator<Item = String>| cells.fold("|".to_owned(), |row, cell| row + " " + &cell + " |");
    let rule = |column: usize| if column < table.words { "---" } else { "---:" }.to_owned();
    let mut text = format!("\n*{}*\n\n", plain(&table.caption));
    let head = row(&mut table.head.iter().map(|name| (*name).to_owned()));
    let rules = row(&mut (0..table.head.len()).map(rule));
    // Writing to a string cannot fail.
    let _written = writeln!(text, "{head}\n{rules}");
    for cells in &table.rows {
        text.push_str(&row(&mut cells.iter().map(|cell| plain(cell))));
        text.push('\n');
    }
    text
}

/// Text that Markdown takes as it is.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => plain.push(' '),
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '#' | '&' => plain.extend(['\\', character]),
            character => plain.push(character),
        }
    }
    plain
}

const STYLE: &str = "
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 1160px; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; margin: 2.2rem 0 0.6rem; }
h1 { margin-top: 0; }
h2 { border-bottom: 1px solid #ddd; padding-bottom: 0.3rem; }
p, figcaption { max-width: 60rem; }
figure { margin: 1.2rem 0; overflow-x: auto; }
figcaption { color: #555; font-size: 0.9rem; margin-bottom: 0.4rem; }
table { border-collapse: collapse; font-size: 0.8rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.5rem; border-bottom: 1px solid #e6e6e6; text-align: right; white-space: nowrap; vertical-align: top; }
th { border-bottom: 2px solid #bbb; }
td.w, th.w { text-align: left; }
tr:hover td { background: #f6f8fa; }
svg { max-width: 100%; height: auto; }
";

/// The report as a page that needs no other file.
pub(crate) fn page(title: &str, blocks: &[Block]) -> String {
    let class = |column: usize, words: usize| if column < words { "w" } else { "n" };
    let table = |table: &Table| -> Markup {
        html! {
            figure {
                figcaption { (table.caption) }
                table {
                    thead { tr { @for (at, name) in table.head.iter().enumerate() { th class=(class(at, table.words)) { (name) } } } }
                    tbody {
                        @for row in &table.rows {
                            tr { @for (at, cell) in row.iter().enumerate() { td class=(class(at, table.words)) { (cell) } } }
                        }
                    }
                }
            }
        }
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                @for block in blocks {
                    @match block {
                        Block::Heading(text) => { h2 { (text) } }
                        Block::Subheading(text) => { h3 { (text) } }
                        Block::Paragraph(text) => { p { (text) } }
                        Block::Table(of) => { (table(of)) }
                        Block::Plot { caption, svg } => {
                            // The plot escapes its texts itself.
                            figure { figcaption { (caption) } (PreEscaped(svg)) }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_name_holds_stays_text() {
        let name = "<script>alert(1)</script> a|b *c* [d](e) \n# f";
        let table = Table {
            caption: name.into(),
            head: vec!["who", "F1"],
            words: 1,
            rows: vec![vec![name.into(), "0.5".into()]],
        };
        let blocks = [
            Block::Heading(name.into()),
            Block::Subheading(name.into()),
            Block::Paragraph(name.into()),
            Block::Table(table),
            Block::Plot { caption: name.into(), svg: "<svg></svg>".into() },
        ];
        let page = page(name, &blocks);
        assert!(!page.contains("<script>") && page.contains("<svg></svg>"), "{page}");
        assert_eq!(
            page.matches("&lt;script&gt;").count(),
            8,
            "title, headings, paragraph, caption, cell, caption: {page}"
        );
        let text = markdown(name, &blocks);
        assert!(!text.contains("<script>") && !text.contains("\n# f"), "{text}");
        let cell = "| \\<script\\>alert(1)\\</script\\> a\\|b \\*c\\* \\[d\\](e)  \\# f | 0.5 |\n";
        assert!(text.contains(cell) && text.contains("| who | F1 |\n| --- | ---: |\n"), "{text}");
        assert_eq!(plots(&blocks).collect::<Vec<_>>(), ["<svg></svg>"]);
        assert!(text.contains("](plots/01.svg)"), "{text}");
    }
}
