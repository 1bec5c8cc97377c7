//! Figures as pictures.

use std::path::Path;

use plotters::prelude::*;

/// A bar for each, in a file of that name.
pub fn bars(out: &Path, name: &str, title: &str, figures: &[(String, f64)]) -> anyhow::Result<()> {
    let file = out.join(format!("{name}.svg"));
    let area = SVGBackend::new(&file, (640, 60 + 40 * figures.len() as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let most = figures.iter().map(|(_, figure)| *figure).fold(0.0, f64::max) * 1.15;
    let rows = figures.len() as i32;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(24)
        .build_cartesian_2d(0.0..most, 0.0..f64::from(rows))?;
    chart.configure_mesh().disable_y_mesh().disable_y_axis().draw()?;
    for (row, (server, figure)) in figures.iter().rev().enumerate() {
        let low = row as f64;
        let bar =
            Rectangle::new([(0.0, low + 0.15), (*figure, low + 0.85)], RGBColor(150, 180, 220).filled());
        chart.draw_series([bar])?;
        let label = format!("{server}: {}", rounded(*figure));
        chart.draw_series([Text::new(label, (most * 0.01, low + 0.65), ("sans-serif", 14))])?;
    }
    Ok(area.present()?)
}

fn rounded(figure: f64) -> String {
    if figure < 100.0 { format!("{figure:.2}") } else { format!("{figure:.0}") }
}
