//! The chart of guests by month, as SVG that needs no font, script or file of anybody's.
//!
//! It is drawn twice, for a wide page and for a phone, since a drawing that is scaled down takes its labels with it.
//! What is final and what is not differs in shape, not only in colour. The drawing has no text of others in it, and
//! its `svg` element is the page's own, so that it can be named for those who do not see it.

use chrono::Datelike as _;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::number::grouped;
use crate::period::BillingPeriod;

const INK: RGBColor = RGBColor(0x33, 0x3D, 0x47);
const GRID: RGBColor = RGBColor(0xD5, 0xDA, 0xDF);
const BAR: RGBColor = RGBColor(0x1F, 0x5A, 0x99);
/// The share of a month's room that its bar leaves free at each side.
const MARGIN: f64 = 0.16;
/// Room for a label such as `2026-10`, in pixels.
const LABEL_WIDTH: u32 = 62;
/// Room for a number over its bar, in pixels.
const NUMBER_WIDTH: f64 = 56.0;
/// What plotters makes a font's pixels of.
const POINTS: f64 = 1.24;

/// One month of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) period: BillingPeriod,
    /// Its guests; none if nothing is published.
    pub(super) guests: Option<u128>,
    pub(super) is_final: bool,
}

/// How large a drawing is, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
    font: u32,
}

impl Size {
    pub(super) const WIDE: Self = Self { width: 920, height: 320, font: 14 };
    pub(super) const NARROW: Self = Self { width: 343, height: 260, font: 13 };

    fn text(self, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
        let style = TextStyle::from(("sans-serif", f64::from(self.font) * POINTS)).color(&INK);
        style.pos(Pos::new(horizontal, vertical))
    }
}

/// Draws the months and returns what belongs into an `svg` element of that size.
pub(super) fn draw(bars: &[Bar], size: Size) -> String {
    let mut drawn = String::new();
    {
        let root = SVGBackend::with_string(&mut drawn, (size.width, size.height)).into_drawing_area();
        draw_on(&root, bars, size).expect("a text takes every drawing");
        root.present().expect("a text takes every drawing");
    }
    let inner = drawn.split_once('>').and_then(|(_element, inner)| inner.rsplit_once("</svg>"));
    inner.map(|(inner, _end)| inner.trim().to_owned()).expect("an svg element")
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

#[expect(clippy::cast_precision_loss, reason = "a pixel is wider than what a float loses")]
fn draw_on(root: &DrawingArea<SVGBackend<'_>, Shift>, bars: &[Bar], size: Size) -> Drawn {
    let most = bars.iter().filter_map(|bar| bar.guests).max().unwrap_or(0);
    let (step, top) = scale(most);
    let longest_label = u32::try_from(grouped(top).len()).unwrap_or(u32::MAX);
    let mut chart = ChartBuilder::on(root)
        .margin_top(size.font + 10)
        .margin_right(LABEL_WIDTH / 2)
        .x_label_area_size(size.font + 16)
        .y_label_area_size(longest_label * size.font * 3 / 5 + 12)
        .build_cartesian_2d(0.0..bars.len() as f64, 0.0..top as f64)?;
    for line in 0..=top / step {
        let height = (line * step) as f64;
        let ends = [(0.0, height), (bars.len() as f64, height)];
        chart.draw_series([PathElement::new(ends, if line == 0 { INK } else { GRID })])?;
        let (x, y) = chart.backend_coord(&(0.0, height));
        root.draw(&Text::new(grouped(line * step), (x - 8, y), size.text(HPos::Right, VPos::Center)))?;
    }
    let (left, right) =
        (chart.backend_coord(&(0.0, 0.0)).0, chart.backend_coord(&(bars.len() as f64, 0.0)).0);
    let slot = f64::from(right - left) / bars.len() as f64;
    let every = label_interval(slot);
    for (at, bar) in bars.iter().enumerate() {
        let at = at as f64;
        let ((x, bottom), height) = (chart.backend_coord(&(at + 0.5, 0.0)), bar.guests.unwrap_or(0) as f64);
        let (_, y) = chart.backend_coord(&(at + 0.5, height));
        if bar.guests.is_some() {
            let corners = [(at + MARGIN, height), (at + 1.0 - MARGIN, 0.0)];
            let style = if bar.is_final { BAR.filled() } else { BAR.stroke_width(1) };
            chart.draw_series([Rectangle::new(corners, style)])?;
        }
        let over = match bar.guests {
            None => Some("×".to_owned()),
            Some(guests) if slot >= NUMBER_WIDTH => Some(grouped(guests)),
            Some(_) => None,
        };
        if let Some(over) = over {
            root.draw(&Text::new(over, (x, y - 4), size.text(HPos::Center, VPos::Bottom)))?;
        }
        if bar.period.start().month0() % every == 0 {
            let style = size.text(HPos::Center, VPos::Top);
            root.draw(&PathElement::new([(x, bottom), (x, bottom + 5)], INK))?;
            root.draw(&Text::new(bar.period.to_string(), (x, bottom + 9), style))?;
        }
    }
    Ok(())
}

/// Returns every how many months one is named, so that the names do not meet.
fn label_interval(slot: f64) -> u32 {
    let fits = |months: &u32| slot * f64::from(*months) >= f64::from(LABEL_WIDTH);
    [1, 2, 3, 6, 12].into_iter().find(fits).unwrap_or(12)
}

/// Returns the distance of the lines and the highest one: at most five, at round numbers.
fn scale(most: u128) -> (u128, u128) {
    let mut power = 1;
    loop {
        for step in [1, 2, 5].map(|factor: u128| factor * power) {
            if step * 5 >= most {
                return (step, most.div_ceil(step).max(1) * step);
            }
        }
        power *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(guests: &[Option<u128>]) -> Vec<Bar> {
        let first: BillingPeriod = "2024-01".parse().unwrap();
        let bar = |(at, guests): (usize, &Option<u128>)| Bar {
            period: first.plus_months(i64::try_from(at).unwrap()),
            guests: *guests,
            is_final: at % 2 == 0,
        };
        guests.iter().enumerate().map(bar).collect()
    }

    #[test]
    fn the_lines_lie_at_round_numbers_and_over_the_highest_bar() {
        for (most, expected) in [
            (0, (1, 1)),
            (3, (1, 3)),
            (5, (1, 5)),
            (6, (2, 6)),
            (11, (5, 15)),
            (2_955, (1_000, 3_000)),
            (5_001, (2_000, 6_000)),
            (u128::from(u64::MAX), (5_000_000_000_000_000_000, 20_000_000_000_000_000_000)),
        ] {
            assert_eq!(scale(most), expected, "{most}");
        }
    }

    #[test]
    fn final_open_and_missing_months_differ_in_shape() {
        for size in [Size::WIDE, Size::NARROW] {
            let drawn = draw(&bars(&[Some(10), Some(20), None]), size);
            assert_eq!(drawn.matches("fill=\"#1F5A99\"").count(), 1, "{drawn}");
            assert_eq!(drawn.matches("stroke=\"#1F5A99\"").count(), 1, "{drawn}");
            assert_eq!(drawn.matches('×').count(), 1, "{drawn}");
            assert!(!drawn.contains("<svg") && !drawn.contains("</svg"), "{drawn}");
        }
    }

    #[test]
    fn the_names_of_many_months_are_thinned_out() {
        for (months, size, named) in [
            (1, Size::NARROW, 1),
            (3, Size::NARROW, 3),
            (36, Size::NARROW, 3),
            (36, Size::WIDE, 12),
            (12, Size::WIDE, 12),
        ] {
            let drawn = draw(&bars(&vec![Some(5); months]), size);
            assert_eq!(drawn.matches("\n202").count(), named, "{months} {size:?}: {drawn}");
        }
    }
}
