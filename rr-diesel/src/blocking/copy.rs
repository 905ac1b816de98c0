//! `COPY … FROM`, on the primary.

use diesel::PgConnection;
use diesel::pg::CopyFromQuery;
use diesel::prelude::ExecuteCopyFromDsl;
use diesel::result::Error;
use rr_core::route::{Access, Outcome};
use rr_core::sql::{Classified, StatementClass};

use super::connection::RoutedConnection;
use super::node::Care;
use super::run::position;
use crate::run::Place;

impl<T, A> ExecuteCopyFromDsl<RoutedConnection<PgConnection>> for CopyFromQuery<T, A>
where
    Self: ExecuteCopyFromDsl<PgConnection, Error: From<Error>>,
{
    type Error = <Self as ExecuteCopyFromDsl<PgConnection>>::Error;

    fn execute(self, conn: &mut RoutedConnection<PgConnection>) -> Result<usize, Self::Error> {
        conn.put_back();
        // The error is the caller's own and does not say what became of the copy, so that a failed one counts as well.
        if let Some(pin) = &mut conn.pin {
            pin.check()?;
            let place = pin.hold.prepare(&Classified::new(StatementClass::Write, None), "")?;
            let suspect = (place == Place::Yes).then(|| pin.ledger.suspect(pin.checkout.route.as_ref()));
            let copied = self.execute(pin.checkout.conn());
            if let (Some(suspect), Ok(_)) = (suspect, &copied) {
                suspect.wrote(position(&mut pin.checkout).as_ref());
            }
            return copied;
        }
        let mut turn = conn.opener.turn();
        let mut checkout = conn.opener.writer(Access::Write, Care::Once, &mut turn)?;
        let suspect = conn.opener.ledger.suspect(checkout.route.as_ref());
        let copied = self.execute(checkout.conn());
        match copied.is_ok() {
            true => suspect.wrote(position(&mut checkout).as_ref()),
            // The server may be the primary no more. What is copied can be read once only, and so is not sent again.
            false => conn.opener.router().probe_now(),
        }
        checkout.report(Outcome::Answered);
        copied
    }
}
