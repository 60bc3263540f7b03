//! Pages of results. They need no network and are readable in light and dark.

use super::{Chart, Clients, Grid, Group, Point, Run, Scale, Series, Spread, class_picture, own_bases_picture, robustness_chart};
use crate::Result;
use crate::fl::Ratio;
use crate::run::config::TrainConfig;
use crate::text::plural;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::collections::BTreeMap;

const STYLE: &str = ":root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:light-dark(#222,#ddd);background:light-dark(#fff,#181818)}\
table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}\
td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid light-dark(#ddd,#444)}\
th:first-child,td:first-child{text-align:left;white-space:nowrap}svg{max-width:100%;height:auto}pre{overflow-x:auto}";

fn document(title: &str, body: &Markup) -> String {
    let page: Markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { h1 { (title) } (body) }
        }
    };
    page.into_string()
}

/// A table with a head; first column to the left.
fn table(rows: &[Vec<String>]) -> Markup {
    html! {
        table {
            @for (i, row) in rows.iter().enumerate() {
                tr { @for cell in row { @if i == 0 { th { (cell) } } @else { td { (cell) } } } }
            }
        }
    }
}

fn percent(spread: Option<Spread>) -> String {
    spread.map_or("–".into(), |s| s.percent())
}

/// A number with its thousands apart.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let parts: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|c| std::str::from_utf8(c).unwrap_or_default()).collect();
    parts.join(" ")
}

/// The page of one model's standard and robust accuracies; `model` is its name.
///
/// # Errors
/// [`crate::Error::Data`] where a picture cannot be drawn.
pub fn grid_page(model: &str, run: &Run) -> Result<String> {
    let group = Group { name: model.into(), runs: vec![run.clone()] };
    let body = html! {
        p { "Model: " (model) ". Test accuracy in %, mean over the clients." }
        (robustness(&group)?)
    };
    Ok(document("Standard and robust accuracy by width and λ", &body))
}

/// Curves and tables of a group's grid.
fn robustness(group: &Group) -> Result<Markup> {
    let grid = group.grid();
    let mut attacks: Vec<String> = grid.iter().map(|p| p.attack.clone()).collect();
    attacks.sort();
    attacks.dedup();
    let mut parts = Vec::new();
    for attack in attacks {
        let mut lambdas: Vec<f64> = grid.iter().filter(|p| p.attack == attack).map(|p| p.lambda).collect();
        lambdas.sort_by(f64::total_cmp);
        lambdas.dedup();
        let mut rows =
            vec![["width".to_string(), String::new()].into_iter().chain(lambdas.iter().map(|l| format!("λ {l}"))).collect::<Vec<_>>()];
        let mut widths: Vec<Ratio> = grid.iter().filter(|p| p.attack == attack).map(|p| p.width).collect();
        widths.dedup();
        for width in widths {
            let of = |lambda: f64| grid.iter().find(|p| p.attack == attack && p.width == width && p.lambda == lambda);
            let row = |kind: &str, value: &dyn Fn(f64) -> Option<Spread>| {
                [width.to_string(), kind.into()].into_iter().chain(lambdas.iter().map(|l| percent(value(*l)))).collect::<Vec<_>>()
            };
            rows.push(row("standard", &|l| of(l).map(|p| p.standard)));
            rows.push(row(&attack, &|l| of(l).map(|p| p.robust)));
        }
        parts.push(html! {
            h3 { "Attack " (attack) }
            (PreEscaped(robustness_chart(&grid, &attack).svg()?))
            (table(&rows))
        });
    }
    Ok(html! {
        p { "λ is the share of the adversarial batch norms, chosen in use without training. Standard accuracy is that on the images as they \
            are, robust accuracy that on images attacked for that very width and λ." }
        @for part in &parts { (part) }
    })
}

/// The page of several groups of runs.
///
/// # Errors
/// [`crate::Error::Data`] where a picture cannot be drawn; [`crate::Error::Config`] for a network that there is not.
pub fn page(groups: &[Group]) -> Result<String> {
    let mut widths: Vec<Ratio> = groups.iter().flat_map(Group::widths).collect();
    widths.sort();
    widths.dedup();
    let body = html! {
        p { (plural(groups.iter().map(|g| g.runs.len() as u32).sum(), "run")) " in " (plural(groups.len() as u32, "group")) ". Accuracies are in \
            %, means over the clients" @if groups.iter().any(Group::has_several_seeds) { " and over seeds, ± the standard deviation over seeds" } "." }
        h2 { "Accuracy by width" }
        (table(&by_width(groups, &widths)))
        h2 { "Accuracy by domain" }
        p { "Of each group's widest model." }
        @for part in by_domain(groups) { (part) }
        h2 { "Validation accuracy" (if groups.len() == 1 { "" } else { " of the widest model" }) " against rounds" }
        (PreEscaped(validation(groups).svg()?))
        h2 { "Loss in training against rounds" }
        (PreEscaped(training_loss(groups).svg()?))
        h2 { "Accuracy against the size of the model" }
        @for chart in against_size(groups)? { (PreEscaped(chart.svg()?)) }
        (table(&sizes(groups, &widths)?))
        h2 { "What a round costs a client" }
        p { "Means over the clients that train: parameters that one receives and sends, and multiply–adds of its training: forward and both \
            directions of backward, in adversarial training those of the attacks, and where it chooses among bases a forward of each." }
        (costs(groups)?)
        @for group in groups.iter().filter(|g| !g.grid().is_empty()) {
            h2 { "Robustness: " (group.name) }
            (robustness(group)?)
        }
        (of_method(groups)?)
        h2 { "Clients" }
        (clients(groups)?)
        h2 { "Runs" }
        (table(&runs(groups)))
        h2 { "Options" }
        @for group in groups {
            details { summary { (group.name) } pre { (group.runs[0].config.to_toml()?) } }
        }
    };
    Ok(document("Split-Mix: results", &body))
}

fn by_width(groups: &[Group], widths: &[Ratio]) -> Vec<Vec<String>> {
    let mut rows =
        vec![["".to_string()].into_iter().chain(widths.iter().map(|w| w.to_string())).chain(["seeds".into()]).collect::<Vec<_>>()];
    for group in groups {
        let seeds = |tested: bool| -> String {
            let own = group.runs.iter().filter(|r| r.test.is_some() == tested).map(|r| r.config.seed.to_string());
            own.collect::<Vec<_>>().join(", ")
        };
        let seeds = match (seeds(true), seeds(false)) {
            (tested, open) if open.is_empty() => tested,
            (tested, open) => format!("{tested} ({open} not finished)").trim_start().into(),
        };
        let cells = widths.iter().map(|w| percent(group.accuracy(*w)));
        rows.push([group.name.clone()].into_iter().chain(cells).chain([seeds]).collect());
    }
    rows
}

/// A table for all groups that have the same domains.
fn by_domain(groups: &[Group]) -> Vec<Markup> {
    let mut tables: Vec<(Vec<String>, Vec<Vec<String>>)> = Vec::new();
    for group in groups {
        let Some(widest) = group.widths().last().copied() else { continue };
        let domains = group.domains(widest);
        let names: Vec<String> = domains.iter().map(|(n, _)| n.clone()).collect();
        let row = [group.name.clone(), widest.to_string()].into_iter().chain(domains.iter().map(|(_, s)| percent(*s))).collect();
        match tables.iter_mut().find(|(n, _)| *n == names) {
            Some((_, rows)) => rows.push(row),
            None => tables.push((names, vec![row])),
        }
    }
    let whole = |(names, rows): (Vec<String>, Vec<Vec<String>>)| {
        let head = [String::new(), "width".into()].into_iter().chain(names).collect();
        table(&[vec![head], rows].concat())
    };
    tables.into_iter().map(whole).collect()
}

fn against_rounds(name: String, values: Vec<(usize, Spread)>, factor: f64) -> Series {
    let point = |(round, s): (usize, Spread)| Point { x: round as f64, y: factor * s.mean, label: None };
    Series { name, points: values.into_iter().map(point).collect() }
}

/// A curve a width of a single group, else a curve a group.
fn validation(groups: &[Group]) -> Chart {
    let series = match groups {
        [group] => group.widths().into_iter().map(|w| against_rounds(format!("width {w}"), group.validation(w), 100.0)).collect(),
        _ => groups.iter().map(|g| against_rounds(g.name.clone(), g.widest_validation(), 100.0)).collect(),
    };
    Chart { x: "rounds".into(), y: "validation accuracy, %".into(), scale: Scale::Whole, series }
}

fn training_loss(groups: &[Group]) -> Chart {
    let series = groups.iter().map(|g| against_rounds(g.name.clone(), g.training_loss(), 1.0)).collect();
    Chart { x: "rounds".into(), y: "cross entropy".into(), scale: Scale::Whole, series }
}

/// Against multiply–adds and against parameters.
fn against_size(groups: &[Group]) -> Result<Vec<Chart>> {
    let mut charts = Vec::new();
    for (x, parameters) in [("multiply–adds an image", false), ("parameters", true)] {
        let mut series = Vec::new();
        for group in groups {
            let mut points = Vec::new();
            for width in group.widths() {
                if let Some(s) = group.accuracy(width) {
                    let size = group.runs[0].size(width)?;
                    let x = if parameters { size.parameters } else { size.macs } as f64;
                    points.push(Point { x, y: 100.0 * s.mean, label: Some(width.to_string()) });
                }
            }
            series.push(Series { name: group.name.clone(), points });
        }
        charts.push(Chart { x: x.into(), y: "test accuracy, %".into(), scale: Scale::Log, series });
    }
    Ok(charts)
}

fn sizes(groups: &[Group], widths: &[Ratio]) -> Result<Vec<Vec<String>>> {
    let mut rows = vec![
        ["".to_string()]
            .into_iter()
            .chain(widths.iter().flat_map(|w| [format!("{w}: parameters"), "multiply–adds".into()]))
            .collect::<Vec<_>>(),
    ];
    for group in groups {
        let own = group.widths();
        let mut row = vec![group.name.clone()];
        for width in widths {
            match own.contains(width) {
                true => {
                    let size = group.runs[0].size(*width)?;
                    row.extend([grouped(size.parameters), grouped(size.macs)]);
                }
                false => row.extend(["–".to_string(), "–".to_string()]),
            }
        }
        rows.push(row);
    }
    Ok(rows)
}

fn costs(groups: &[Group]) -> Result<Markup> {
    let mut rows = vec![["", "parameters received", "sent", "multiply–adds"].map(String::from).to_vec()];
    for group in groups {
        let cost = match group.runs[0].round_cost()? {
            Some(cost) => [cost.received, cost.sent, cost.macs].map(grouped),
            None => ["–"; 3].map(String::from),
        };
        rows.push([group.name.clone()].into_iter().chain(cost).collect());
    }
    let unknown = rows.iter().any(|row| row[1] == "–");
    Ok(html! {
        (table(&rows))
        @if unknown { p { "–: the run's folder does not say who its clients are (it has no " (super::CLIENTS) ")." } }
    })
}

/// What a method reports of itself: its figures against rounds, and who has which base.
fn of_method(groups: &[Group]) -> Result<Markup> {
    let mut figures: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    for group in groups {
        for (name, values) in group.figures() {
            figures.entry(name).or_default().push(against_rounds(group.name.clone(), values, 1.0));
        }
    }
    let chart = |(name, series)| Chart { x: "rounds".into(), y: name, scale: Scale::Whole, series }.svg();
    let charts = figures.into_iter().map(chart).collect::<Result<Vec<_>>>()?;
    let mut pictures = Vec::new();
    for group in groups {
        pictures.extend(own_bases_picture(&group.runs[0])?.map(|picture| (&group.name, picture)));
    }
    Ok(html! {
        @if !charts.is_empty() { h2 { "The method's own figures against rounds" } }
        @for chart in &charts { (PreEscaped(chart)) }
        @if !pictures.is_empty() { h2 { "The base of each client after each round" } }
        @for (name, picture) in &pictures { p { (name) ", first seed." } (PreEscaped(picture)) }
    })
}

/// Each set of clients once: how many have which budget, and their images by class.
fn clients(groups: &[Group]) -> Result<Markup> {
    let mut seen: Vec<(&Clients, String, Vec<&str>)> = Vec::new();
    for group in groups {
        if let Some(own) = &group.runs[0].clients {
            match seen.iter_mut().find(|(c, ..)| *c == own) {
                Some((_, _, names)) => names.push(&group.name),
                None => seen.push((own, group.runs[0].config.partition_rule(), vec![&group.name])),
            }
        }
    }
    let pictures = seen.iter().map(|(c, ..)| class_picture(c)).collect::<Result<Vec<_>>>()?;
    let budgets = |c: &Clients| {
        let mut counts: BTreeMap<Ratio, usize> = BTreeMap::new();
        c.rows.iter().filter_map(|r| r.budget.parse().ok()).for_each(|b| *counts.entry(b).or_default() += 1);
        let most = counts.values().copied().max().unwrap_or(1);
        html! {
            table {
                tr { th { "budget" } th { "clients" } th {} }
                @for (budget, count) in counts {
                    tr { td { (budget) } td { (count) } td style="text-align:left" { meter min="0" max=(most) value=(count) { (count) } } }
                }
            }
        }
    };
    let classes = |c: &Clients| {
        let head = ["client", "domain", "budget"].map(String::from).into_iter().chain(c.classes.iter().cloned());
        let mut rows = vec![head.chain(["train", "validation", "test"].map(String::from)).collect::<Vec<_>>()];
        for r in &c.rows {
            let sum = |v: &[usize]| v.iter().sum::<usize>().to_string();
            let counts = r.train.iter().map(|n| if *n == 0 { "·".into() } else { n.to_string() });
            let row = [r.name.clone(), r.domain.clone(), r.budget.clone()].into_iter().chain(counts);
            rows.push(row.chain([sum(&r.train), sum(&r.validation), sum(&r.test)]).collect());
        }
        table(&rows)
    };
    Ok(html! {
        @for ((c, rule, names), picture) in seen.iter().zip(&pictures) {
            p { (names.join("; ")) ", first seed. Partition: " (rule) "." }
            (budgets(c))
            (PreEscaped(picture))
            details { summary { "Training images by class" } (classes(c)) }
        }
        @if seen.is_empty() { p { "The runs' folders say nothing of their clients: they have no " (super::CLIENTS) "." } }
    })
}

fn runs(groups: &[Group]) -> Vec<Vec<String>> {
    let mut rows = vec![["folder", "group", "seed", "rounds", "best round", "accuracy of the widest model"].map(String::from).to_vec()];
    for group in groups {
        for run in &group.runs {
            let TrainConfig { seed, rounds, .. } = run.config;
            let best = run.metrics.iter().rev().find(|m| m.best).map_or("–".into(), |m| (m.round + 1).to_string());
            let widest = run.test.as_ref().and_then(|t| t.widths.last()?.mean).map_or("–".into(), |a| format!("{:.1}", 100.0 * a));
            let done = format!("{} of {rounds}", run.metrics.last().map_or(0, |m| m.round + 1));
            rows.push(vec![run.path.display().to_string(), group.name.clone(), seed.to_string(), done, best, widest]);
        }
    }
    rows
}

impl Grid {
    /// A run of nothing but a grid, for [`grid_page`].
    pub fn alone(self) -> Run {
        Run {
            path: Default::default(),
            config: TrainConfig::default(),
            metrics: vec![],
            test: None,
            clients: None,
            grid: Some(self),
            classes: 0,
        }
    }
}
