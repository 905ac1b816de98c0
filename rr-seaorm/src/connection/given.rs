//! What `connect` is given: settings of one server, or a list of servers.

use std::borrow::Cow;

use rr_core::config::DatabaseUrl;
use sea_orm::{ConnectOptions, DbErr};

use crate::connector::{ConnectorError, Template};
use crate::error;

pub(super) struct Given {
    /// The primary, and replicas after it.
    pub(super) urls: String,
    pub(super) options: ConnectOptions,
    /// The primary's.
    pub(super) template: Template,
}

impl Given {
    pub(super) async fn of<O: Into<ConnectOptions>>(given: O) -> Result<Self, DbErr> {
        Self::read(is_text(&given), given.into()).await
    }

    /// SeaORM takes a list for one URL, so that the last parameter of each has the rest of the list for its value, passwords
    /// included. Options cannot be given another URL, and whether they have hooks cannot be seen: those of a text have none.
    async fn read(is_text: bool, options: ConnectOptions) -> Result<Self, DbErr> {
        let urls = options.get_url().trim().to_owned();
        let first = DatabaseUrl::list(&urls).next().unwrap_or_default();
        let (options, template) = if first == urls {
            let template = Template::of(&options).await?;
            (options, template)
        } else if is_text {
            let options = ConnectOptions::new(first);
            let template = Template::of(&options).await?;
            (options, template)
        } else if urls.contains('?') {
            return Err(error::bad_settings(ConnectorError::List));
        } else {
            let template = Template::of_first(&options, first).await?;
            (options, template)
        };
        Ok(Self { urls, options, template: template.of_text(is_text) })
    }
}

/// Whether it is a text: a type that is not known as one may have hooks.
pub(super) fn is_text<O>(_: &O) -> bool {
    let texts = [
        typeid::of::<&str>(),
        typeid::of::<String>(),
        typeid::of::<&String>(),
        typeid::of::<Box<str>>(),
        typeid::of::<Cow<'_, str>>(),
    ];
    texts.contains(&typeid::of::<O>())
}
