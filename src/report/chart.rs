//! Line charts as SVG, readable in light and dark.

use crate::{Error, Result};
use plotters::prelude::*;

/// Colours of the series; further ones repeat, with shorter and shorter dashes. Distinguishable without red against green, on white and on black.
pub(super) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 125, 196),
    RGBColor(224, 149, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 110, 160),
    RGBColor(213, 94, 0),
    RGBColor(86, 170, 225),
    RGBColor(140, 140, 140),
];

/// Size of what is drawn, in pixels, the legend apart; height of a line of the legend; longest name that half of the width takes.
const WIDTH: u32 = 800;
const HEIGHT: u32 = 480;
const LINE: u32 = 22;
const LONG: usize = 44;

/// Length of a dash and of the gap after it, in pixels, each time all colours have had their turn; the first lines are whole.
const DASHES: [(u32, u32); 2] = [(10, 6), (3, 4)];

/// Most points of a line that are marked.
const FEW: usize = 12;

/// What plotters draws in this colour takes that of the text around.
const INK: &str = "#000000";
const STYLE: &str = "<style>svg{color:#222}@media(prefers-color-scheme:dark){svg{color:#ddd}}</style>";

/// A point of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Place along the horizontal axis.
    pub x: f64,
    /// Place along the vertical axis.
    pub y: f64,
    /// What is written beside it; nothing for a point that is only passed through.
    pub label: Option<String>,
}

/// A line with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points in their order.
    pub points: Vec<Point>,
}

/// How the values of a horizontal axis are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// At equal distances.
    Linear,
    /// The same of whole numbers, as of rounds: no mark lies between two.
    Whole,
    /// By their logarithms; all are above 0.
    Log,
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What the horizontal axis shows, with its unit.
    pub x: String,
    /// What the vertical axis shows, with its unit.
    pub y: String,
    /// How x is laid out.
    pub scale: Scale,
    /// The lines.
    pub series: Vec<Series>,
}

impl Chart {
    /// The chart as an SVG document; it needs no font, style sheet or network.
    ///
    /// # Errors
    /// [`Error::Data`] where it cannot be drawn.
    pub fn svg(&self) -> Result<String> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|e| Error::Data(format!("the picture cannot be drawn: {e}")))?;
        Ok(readable(svg))
    }

    fn draw(&self, svg: &mut String) -> std::result::Result<(), Box<dyn std::error::Error>> {
        // The legend has its own place below, for it would cover lines.
        let columns = if self.series.iter().any(|s| s.name.chars().count() > LONG) { 1 } else { 2 };
        let lines = self.series.len().div_ceil(columns);
        let root = SVGBackend::with_string(svg, (WIDTH, HEIGHT + LINE * lines as u32 + 16)).into_drawing_area();
        let (plot, legend) = root.split_vertically(HEIGHT);
        let log = self.scale == Scale::Log;
        let across = |x: f64| if log { x.log10() } else { x };
        let all = || self.series.iter().flat_map(|s| &s.points);
        let (xs, ys) = (Axis::of(self.scale, all().map(|p| p.x)), Axis::of(Scale::Linear, all().map(|p| p.y)));
        let xs_marks = Marked { low: across(xs.low), high: across(xs.high), marks: xs.marks.iter().map(|x| across(*x)).collect() };
        let ys_marks = Marked { low: ys.low, high: ys.high, marks: ys.marks.clone() };
        let mut chart =
            ChartBuilder::on(&plot).margin(16).x_label_area_size(48).y_label_area_size(56).build_cartesian_2d(xs_marks, ys_marks)?;
        let label = |v: &f64| xs.label(if log { 10f64.powf(*v) } else { *v });
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&label)
            .y_label_formatter(&|v| ys.label(*v))
            .x_desc(&self.x)
            .y_desc(&self.y)
            .label_style(("sans-serif", 15))
            .draw()?;
        for (s, series) in self.series.iter().enumerate() {
            let colour = COLOURS[s % COLOURS.len()];
            let places: Vec<(f64, f64)> = series.points.iter().map(|p| (across(p.x), p.y)).collect();
            let (x, y) = (72 + (s / lines) as i32 * (WIDTH as i32 - 72) / 2, (s % lines) as i32 * LINE as i32 + 8);
            let (points, key, style) = (places.iter().copied(), [(x, y), (x + 20, y)], colour.stroke_width(2));
            match (s / COLOURS.len()).checked_sub(1) {
                None => {
                    chart.draw_series(LineSeries::new(points, style))?;
                    legend.draw(&PathElement::new(key, style))?;
                }
                Some(turn) => {
                    let (dash, gap) = DASHES[turn.min(DASHES.len() - 1)];
                    chart.draw_series(DashedLineSeries::new(points, dash, gap, style))?;
                    legend.draw(&plotters::element::DashedPathElement::new(key, dash, gap, style))?;
                }
            }
            legend.draw(&Text::new(series.name.as_str(), (x + 28, y - 7), ("sans-serif", 15)))?;
            // A line of few points shows them; one of a single point is nothing else.
            if places.len() <= FEW {
                chart.draw_series(places.iter().map(|at| Circle::new(*at, 3, colour.filled())))?;
            }
            let labelled = series.points.iter().zip(&places).filter_map(|(p, at)| Some((p.label.clone()?, *at)));
            chart.draw_series(labelled.map(|(label, at)| {
                EmptyElement::at(at)
                    + Circle::new((0, 0), 4, colour.filled())
                    + Text::new(label, (7, -6), ("sans-serif", 12).into_font().color(&colour))
            }))?;
        }
        root.present()?;
        Ok(())
    }
}

/// A range with its own marks. (With plotters' own, `with_key_points`, an axis of reals has no labels.)
struct Marked {
    low: f64,
    high: f64,
    marks: Vec<f64>,
}

impl Ranged for Marked {
    type FormatOption = plotters::coord::ranged1d::NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * (value - self.low) / (self.high - self.low)) as i32
    }

    fn key_points<Hint: plotters::coord::ranged1d::KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.marks.clone() }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}

impl plotters::coord::ranged1d::ValueFormatter<f64> for Marked {
    fn format(value: &f64) -> String {
        short(*value)
    }
}

/// The range of an axis, and the round figures that are marked on it.
struct Axis {
    low: f64,
    high: f64,
    marks: Vec<f64>,
}

/// About as many figures as are marked on an axis.
const MARKS: f64 = 8.0;

impl Axis {
    /// An axis that shows these values.
    fn of(scale: Scale, values: impl Iterator<Item = f64>) -> Axis {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return Axis { low: if scale == Scale::Log { 1.0 } else { 0.0 }, high: 10.0, marks: Vec::new() };
        }
        if scale == Scale::Log {
            return Axis::logarithmic(low, high);
        }
        let margin = if high > low { 0.06 * (high - low) } else { 1.0 };
        let (low_end, high_end) = (low - margin, high + margin);
        // Whole numbers are marked among the values only: there is no round 0.
        let (from, to, least) = if scale == Scale::Whole { (low, high, 1.0) } else { (low_end, high_end, 0.0) };
        let step = step(from, to).max(least);
        let marks = ((from / step).ceil() as i64..=(to / step).floor() as i64).map(|i| i as f64 * step).collect();
        Axis { low: low_end, high: high_end, marks }
    }

    /// From the round figure below the values to the one above, so that there are two at least.
    fn logarithmic(low: f64, high: f64) -> Axis {
        let power = |exponent: i32| 10f64.powi(exponent);
        let (first, last) = (low.log10().floor() as i32 - 1, high.log10().ceil() as i32 + 1);
        let figures = |of_a_power: &[f64]| -> Vec<f64> {
            let all: Vec<f64> = (first..=last).flat_map(|e| of_a_power.iter().map(move |m| m * power(e))).collect();
            let below = all.iter().rposition(|v| *v <= low).unwrap_or(0);
            let above = all.iter().position(|v| *v >= high).unwrap_or(all.len() - 1);
            // A single value that is one of them has its neighbours beside it.
            if below < above { all[below..=above].to_vec() } else { all[below.saturating_sub(1)..=above + 1].to_vec() }
        };
        let mut marks = figures(&[1.0, 2.0, 5.0]);
        if marks.len() as f64 > 1.5 * MARKS {
            marks = figures(&[1.0]);
        }
        Axis { low: marks[0].min(low), high: marks[marks.len() - 1].max(high), marks }
    }

    /// A figure as it is written at the axis: with as many places as tell it from its neighbours.
    fn label(&self, v: f64) -> String {
        let step = self.marks.windows(2).map(|two| two[1] - two[0]).fold(1.0, f64::min);
        match v.abs() {
            n if n >= 1e4 => short(v),
            _ => format!("{v:.0$}", (-(1.001 * step).log10().floor()).max(0.0) as usize),
        }
    }
}

/// The distance of marks: 1, 2 or 5 times a power of ten.
fn step(low: f64, high: f64) -> f64 {
    let rough = (high - low) / MARKS;
    if rough <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|step| *step >= rough).unwrap_or(10.0 * power)
}

/// An SVG document whose ink has the colour of the text around, in light and dark.
pub(super) fn readable(mut svg: String) -> String {
    let start = svg.find("<svg").and_then(|i| svg[i..].find('>').map(|j| i + j + 1)).unwrap_or(0);
    svg.insert_str(start, STYLE);
    svg.replace(INK, "currentColor")
}

/// A number in three digits: 96.5, 251k, 1.58M.
fn short(v: f64) -> String {
    let (scaled, unit) = match v.abs() {
        n if n >= 1e9 => (v * 1e-9, "G"),
        n if n >= 1e6 => (v * 1e-6, "M"),
        n if n >= 1e4 => (v * 1e-3, "k"),
        _ => (v, ""),
    };
    let places = match scaled.abs() {
        n if n >= 100.0 => 0,
        n if n >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{scaled:.places$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.5, 93.21, 96.0, 100.0, 2500.0, 251_188.6, 1_584_893.0, 2e10].map(short);
        assert_eq!(all, ["0", "0.5", "93.2", "96", "100", "2500", "251k", "1.58M", "20G"]);
    }

    #[test]
    fn a_chart_takes_the_colour_of_the_text_and_needs_nothing_else() {
        let point = |x, y| Point { x, y, label: Some(format!("λ {x}")) };
        let series = Series { name: "width 1/8".into(), points: vec![point(1e6, 40.0), point(2e7, 60.0)] };
        for scale in [Scale::Linear, Scale::Whole, Scale::Log] {
            let svg = Chart { x: "operations".into(), y: "accuracy, %".into(), scale, series: vec![series.clone()] }.svg().unwrap();
            assert!(svg.starts_with("<svg") && svg.contains("prefers-color-scheme:dark"));
            assert!(svg.contains("width 1/8") && svg.contains("λ 20000000") && svg.contains("accuracy, %"));
            assert!(!svg.contains(INK) && svg.contains("currentColor"));
            assert!(!svg.contains("http://") || svg.matches("http://").count() == svg.matches("http://www.w3.org").count());
        }
        // The eighth line has the colour of the first, in dashes.
        let many = |n| Chart { x: "x".into(), y: "y".into(), scale: Scale::Linear, series: vec![series.clone(); n] }.svg().unwrap();
        let lines = |svg: &str| svg.matches("stroke=\"#007DC4\"").count();
        assert!(lines(&many(7)) == lines(&many(1)) && lines(&many(8)) > 8 * lines(&many(1)));
        // One point, and none.
        let alone = Series { name: "a".into(), points: vec![point(3.0, 3.0)] };
        assert!(Chart { x: "x".into(), y: "y".into(), scale: Scale::Linear, series: vec![alone] }.svg().is_ok());
        assert!(Chart { x: "x".into(), y: "y".into(), scale: Scale::Linear, series: vec![] }.svg().is_ok());
    }

    #[test]
    fn marks_are_round_figures() {
        let marks = |scale, values: &[f64]| Axis::of(scale, values.iter().copied()).marks;
        let labels = |scale, values: &[f64]| {
            let axis = Axis::of(scale, values.iter().copied());
            axis.marks.iter().map(|v| axis.label(*v)).collect::<Vec<_>>()
        };
        assert_eq!(labels(Scale::Whole, &[3.0, 4.0]), ["3", "4"]);
        assert_eq!(labels(Scale::Whole, &[1.0]), ["1"]);
        assert_eq!(labels(Scale::Whole, &[1.0, 18.0]), ["5", "10", "15"]);
        assert_eq!(labels(Scale::Whole, &[3.0, 300.0]), ["50", "100", "150", "200", "250", "300"]);
        assert_eq!(labels(Scale::Log, &[1.3e6, 1.7e6]), ["1M", "2M"]);
        assert_eq!(labels(Scale::Log, &[4e5, 3e6]), ["200k", "500k", "1M", "2M", "5M"]);
        assert_eq!(labels(Scale::Log, &[1e6]), ["500k", "1M", "2M"]);
        assert_eq!(labels(Scale::Log, &[3.0, 2e7]), ["1", "10", "100", "1000", "10k", "100k", "1M", "10M", "100M"]);
        assert_eq!(labels(Scale::Linear, &[96.1, 96.4]), ["96.10", "96.15", "96.20", "96.25", "96.30", "96.35", "96.40"]);
        assert_eq!(marks(Scale::Linear, &[0.0, 100.0]), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert!(marks(Scale::Log, &[]).is_empty() && marks(Scale::Linear, &[]).is_empty());
        let log = Axis::of(Scale::Log, [4e5, 3e6].into_iter());
        assert_eq!((log.low, log.high), (2e5, 5e6));
    }
}
