//! The page of a grid: what every (width, λ) of a model does on images as they are and on attacked ones. It needs no network.

use crate::run::robust::GridPoint;
use crate::{Error, Result};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::prelude::*;

/// Colours of the widths, the narrowest first; further ones repeat. Distinguishable without red against green.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
];

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ddd}\
th:first-child,td:first-child{text-align:left}svg{max-width:100%;height:auto}";

/// The page for a model of that name.
///
/// # Errors
/// [`Error::Data`] where a picture cannot be drawn.
pub(super) fn page(model: &str, grid: &[GridPoint]) -> Result<String> {
    let attacks: Vec<String> = grid.first().map_or(vec![], |p| p.attacked.iter().map(|a| a.attack.to_string()).collect());
    let pictures = (0..attacks.len()).map(|a| picture(grid, a, &attacks[a])).collect::<Result<Vec<_>>>()?;
    let widths: Vec<String> = grid.first().map_or(vec![], |p| p.standard.widths.iter().map(|w| w.width.to_string()).collect());
    let page: Markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Split-Mix: accuracy by width and λ" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Standard and robust accuracy by width and λ" }
                p { "Model: " (model) ". Test accuracy in %, mean over the clients. λ is the share of the adversarial batch norms, chosen in use without training. "
                    "Standard accuracy is that on the images as they are, robust accuracy that on images attacked for that very width and λ." }
                @for (attack, picture) in attacks.iter().zip(&pictures) {
                    h2 { "Attack " (attack) }
                    (PreEscaped(picture))
                }
                @for (w, width) in widths.iter().enumerate() {
                    h2 { "Width " (width) }
                    table {
                        tr { th { "λ" } th { "standard" } @for a in &attacks { th { (a) } } }
                        @for point in grid {
                            tr {
                                td { (point.lambda) }
                                td { (super::percent(point.standard.widths[w].mean)) }
                                @for a in &point.attacked { td { (super::percent(a.report.widths[w].mean)) } }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(page.into_string())
}

/// Robust against standard accuracy after attack number `a`: a curve a width, a point a λ.
pub(super) fn picture(grid: &[GridPoint], a: usize, attack: &str) -> Result<String> {
    let mut svg = String::new();
    draw(&mut svg, grid, a, attack).map_err(|e| Error::Data(format!("the picture cannot be drawn: {e}")))?;
    Ok(svg)
}

fn draw(svg: &mut String, grid: &[GridPoint], a: usize, attack: &str) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, (800, 500)).into_drawing_area();
    root.fill(&WHITE)?;
    let widths = grid.first().map_or(0, |p| p.standard.widths.len());
    let curve = |w: usize| -> Vec<(f64, f64, f64)> {
        let point = |p: &GridPoint| Some((100.0 * p.standard.widths[w].mean?, 100.0 * p.attacked[a].report.widths[w].mean?, p.lambda));
        grid.iter().filter_map(point).collect()
    };
    let all: Vec<(f64, f64, f64)> = (0..widths).flat_map(curve).collect();
    let range = |of: fn(&(f64, f64, f64)) -> f64| {
        let (low, high) = all.iter().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high { 0.0..100.0 } else { (low - 4.0).floor().max(0.0)..(high + 4.0).ceil().min(100.0) }
    };
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(56)
        .build_cartesian_2d(range(|p| p.0), range(|p| p.1))?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("standard accuracy, %")
        .y_desc(format!("robust accuracy ({attack}), %"))
        .label_style(("sans-serif", 15))
        .draw()?;
    for w in 0..widths {
        let colour = COLOURS[w % COLOURS.len()];
        let points = curve(w);
        let width = grid[0].standard.widths[w].width;
        chart
            .draw_series(LineSeries::new(points.iter().map(|p| (p.0, p.1)), colour.stroke_width(2)))?
            .label(format!("width {width}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        chart.draw_series(points.iter().map(|(x, y, lambda)| {
            EmptyElement::at((*x, *y))
                + Circle::new((0, 0), 4, colour.filled())
                + Text::new(format!("λ {lambda}"), (7, -6), ("sans-serif", 12).into_font().color(&colour))
        }))?;
    }
    chart.configure_series_labels().background_style(WHITE).border_style(RGBColor(200, 200, 200)).label_font(("sans-serif", 15)).draw()?;
    root.present()?;
    Ok(())
}
