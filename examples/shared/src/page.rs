//! What a browser shows at `/`: the live page of the library, with the laboratory as its panel.

use rr_core::web::{Dashboard, Panel};
use rr_core::{Connector, Router};

use crate::instance::NUMBER;
use crate::passing::Way;

/// The page of an instance.
pub(crate) fn page_routes<C: Connector, S>(router: &Router<C>) -> axum::Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let number = std::env::var(NUMBER).ok().and_then(|number| number.parse::<u16>().ok());
    let title = number.map_or_else(|| "Notes".to_owned(), |number| format!("Notes · instance {number}"));
    let page = Dashboard::new(router).at("/").title(title);
    match (number, Way::from_env()) {
        (Some(number), Some(_)) => page.with_panel(panel(number)).routes(),
        _ => page.routes(),
    }
}

fn panel(number: u16) -> Panel {
    let html = include_str!("page/panel.html").replace("INSTANCE", &number.to_string());
    Panel::new(html).script(include_str!("page/panel.js")).style(include_str!("page/panel.css"))
}
