//! Plots as SVG.

use crate::estimate::Estimate;
use crate::study::report::Kind;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fmt::Display;

/// Pixels of a plot from left to right.
const WIDTH: u32 = 920;

/// Pixels of a row of a plot of rows.
const ROW: u32 = 22;

/// Pixels of the scale below a plot, with what it counts.
const SCALE: u32 = 48;

/// Characters of a label at most.
const LABEL_MAX: usize = 52;

/// Pixels of a character of a label, as sans-serif fonts of this size have at most on average.
const CHARACTER: f64 = 6.6;

/// The radius of a number in pixels.
const NUMBER: i32 = 8;

/// The library makes of a size of 16 one of 12.9 pixels.
const FONT: (&str, u32) = ("sans-serif", 16);
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);

/// A row: who, and a figure with its interval.
pub(crate) struct Row {
    /// Who.
    pub(crate) label: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// The figure.
    pub(crate) estimate: Estimate,
}

/// A point: who, and where.
pub(crate) struct Point {
    /// Who.
    pub(crate) label: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// Dollars a note, more than 0.
    pub(crate) usd: f64,
    /// F1.
    pub(crate) f1: f64,
}

fn colour(kind: Kind) -> RGBColor {
    // Of the palette of Okabe and Ito, which people with any colour vision can tell apart.
    match kind {
        Kind::Teacher => RGBColor(0x00, 0x72, 0xb2),
        Kind::Ensemble => RGBColor(0xd5, 0x5e, 0x00),
        Kind::Student => RGBColor(0x00, 0x9e, 0x73),
    }
}

/// A point with its interval for every row, from above.
///
/// # Errors
/// Never: what is drawn is text.
pub(crate) fn rows(rows: &[Row], axis: &str) -> Result<String> {
    let labels: Vec<String> = rows.iter().map(|row| shortened(&row.label)).collect();
    let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let (left, height) = ((longest as f64 * CHARACTER) as u32 + 16, rows.len() as u32 * ROW + SCALE + 16);
    let low = rows.iter().map(|row| row.estimate.low).fold(1.0, f64::min);
    let high = rows.iter().map(|row| row.estimate.high).fold(0.0, f64::max);
    let (low, high) = ((low * 20.0).floor() / 20.0, (high * 20.0).ceil() / 20.0);
    let scale = if low < high { low..high } else { 0.0..1.0 };
    draw((WIDTH, height), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(8)
            .margin_right(190)
            .x_label_area_size(SCALE)
            .y_label_area_size(left)
            .build_cartesian_2d(scale.clone(), rows.len() as f64 - 0.5..-0.5)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_y_axis()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .x_labels(8)
            .x_label_formatter(&|value| format!("{value:.2}"))
            .x_desc(axis)
            .label_style(FONT.into_font().color(&INK))
            .draw()
            .map_err(failed)?;
        for (at, (row, label)) in rows.iter().zip(&labels).enumerate() {
            let Estimate { value, low, high } = row.estimate;
            let style = colour(row.kind).filled();
            let bar = ErrorBar::new_horizontal(at as f64, low, value, high, style.stroke_width(2), 8);
            chart.draw_series([bar]).map_err(failed)?;
            let (_, y) = chart.backend_coord(&(scale.start, at as f64));
            text(root, label, (left as i32, y), HPos::Right)?;
            text(root, &row.estimate.to_string(), (WIDTH as i32 - 186, y), HPos::Left)?;
        }
        Ok(())
    })
}

/// F1 against dollars a note on a logarithmic scale: a numbered point for everybody, and the names beside the plot.
///
/// # Errors
/// Never: what is drawn is text.
pub(crate) fn points(points: &[Point]) -> Result<String> {
    let decade = |usd: f64, round: fn(f64) -> f64| 10f64.powf(round(usd.log10()));
    let least = points.iter().map(|point| point.usd).fold(f64::MAX, f64::min);
    let most = points.iter().map(|point| point.usd).fold(0.0, f64::max);
    let dollars = decade(least * 0.7, f64::floor)..decade(most * 1.5, f64::ceil);
    let low = points.iter().map(|point| point.f1).fold(1.0, f64::min);
    let high = points.iter().map(|point| point.f1).fold(0.0, f64::max);
    let f1 = (low * 10.0 - 0.5).floor().max(0.0) / 10.0..((high * 10.0 + 0.5).ceil() / 10.0).min(1.02);
    let height = 380.max(points.len() as u32 * ROW + 40);
    let names = (LABEL_MAX as f64 * CHARACTER) as u32 + 40;
    draw((WIDTH, height), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(10)
            .margin_right(names)
            .x_label_area_size(SCALE)
            .y_label_area_size(54)
            .build_cartesian_2d(dollars.log_scale(), f1)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .x_labels(6)
            .x_label_formatter(&|usd| format!("{usd:.0e}"))
            .y_label_formatter(&|f1| format!("{f1:.2}"))
            .x_desc("dollars a note (logarithmic)")
            .y_desc("F1 in words")
            .label_style(FONT.into_font().color(&INK))
            .draw()
            .map_err(failed)?;
        let mut numbers: Vec<(i32, i32)> = Vec::new();
        for (at, point) in points.iter().enumerate() {
            let (name, number) = (((WIDTH - names) as i32 + 24, 24 + at as i32 * ROW as i32), (at + 1).to_string());
            let place = chart.backend_coord(&(point.usd, point.f1));
            let beside = free_place(place, &numbers);
            numbers.push(beside);
            root.draw(&PathElement::new([place, beside], colour(point.kind))).map_err(failed)?;
            root.draw(&Circle::new(place, 4, colour(point.kind).filled())).map_err(failed)?;
            for place in [beside, name] {
                root.draw(&Circle::new(place, NUMBER, colour(point.kind).filled())).map_err(failed)?;
                let style = ("sans-serif", 13).into_font().color(&WHITE).pos(Pos::new(HPos::Center, VPos::Center));
                root.draw(&Text::new(number.clone(), (place.0, place.1 + 1), style)).map_err(failed)?;
            }
            text(root, &shortened(&point.label), (name.0 + 16, name.1), HPos::Left)?;
        }
        Ok(())
    })
}

/// Where the number of a point goes: beside it, and as far below as no other number is.
fn free_place((x, y): (i32, i32), taken: &[(i32, i32)]) -> (i32, i32) {
    let is_taken = |place: (i32, i32)| {
        taken.iter().any(|other| (other.0 - place.0).abs().max((other.1 - place.1).abs()) < 2 * NUMBER)
    };
    let mut place = (x + 2 * NUMBER, y - NUMBER);
    while is_taken(place) {
        place.1 += 2 * NUMBER;
    }
    place
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw(size: (u32, u32), onto: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        onto(&root)?;
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

fn text(root: &Area<'_>, text: &str, place: (i32, i32), side: HPos) -> Result<()> {
    let style = FONT.into_font().color(&INK).pos(Pos::new(side, VPos::Center));
    root.draw(&Text::new(text.to_owned(), place, style)).map_err(failed)
}

/// Errors of the library hold what cannot be sent between threads.
fn failed(error: impl Display) -> anyhow::Error {
    anyhow!("a plot cannot be drawn: {error}")
}

fn shortened(label: &str) -> String {
    match label.chars().count() > LABEL_MAX {
        true => label.chars().take(LABEL_MAX - 1).chain(['…']).collect(),
        false => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_shortened() {
        let long = "<b>&".repeat(20);
        let estimate = Estimate { value: 0.5, low: 0.4, high: 0.6 };
        let svg = rows(&[Row { label: long.clone(), kind: Kind::Teacher, estimate }], "F1").unwrap();
        assert!(svg.contains("&lt;b&gt;&amp;") && !svg.contains("<b>") && svg.contains('…'), "{svg}");
        let point = Point { label: long, kind: Kind::Student, usd: 1e-5, f1: 0.7 };
        let svg = points(&[point]).unwrap();
        assert!(svg.contains("&lt;b&gt;&amp;") && !svg.contains("<b>") && svg.contains("dollars a note"), "{svg}");
    }

    #[test]
    fn numbers_of_points_in_one_place_lie_apart() {
        let mut taken = Vec::new();
        for _ in 0..20 {
            let place = free_place((100, 100), &taken);
            let apart =
                |other: &(i32, i32)| (other.0 - place.0).abs() >= 2 * NUMBER || (other.1 - place.1).abs() >= 2 * NUMBER;
            assert!(taken.iter().all(apart), "{place:?} among {taken:?}");
            taken.push(place);
        }
    }

    #[test]
    fn what_is_drawn_lies_within_the_plot() {
        for (value, low, high) in [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.5, 0.0, 1.0)] {
            let estimate = Estimate { value, low, high };
            let svg = rows(&[Row { label: "one".into(), kind: Kind::Ensemble, estimate }], "F1").unwrap();
            assert!(svg.contains("circle") && !svg.contains("NaN"), "{svg}");
        }
        for usd in [1e-9, 0.3, 1.0, 900.0] {
            let svg = points(&[Point { label: "one".into(), kind: Kind::Student, usd, f1: 0.0 }]).unwrap();
            assert!(svg.contains("circle") && !svg.contains("NaN"), "{svg}");
        }
    }
}
