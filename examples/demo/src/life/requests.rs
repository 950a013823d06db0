//! Valid and invalid requests of clients.

use serde_json::json;

use super::{Life, Outcome, Started, WARM, expect, text};
use crate::event::{get, post};
use crate::step::Proof;

impl Life {
    /// A saved game is the same in the response, by its id, in the list and in the cluster.
    pub(crate) async fn read_back(&self, started: Option<&mut Started>) -> Outcome<()> {
        let lambda = &mut Started::or_missing(started)?.lambda;
        let body = json!({ "title": TITLE }).to_string();
        let saved = expect(&lambda.invoke(post("/games", &body)).await?, 201)?;
        let id = text(&saved, "id")?;

        let found = expect(&lambda.invoke(get(&format!("/games/{id}"))).await?, 200)?;
        let newest = expect(&lambda.invoke(get("/games?limit=1")).await?, 200)?;
        if found != saved || newest["games"] != json!([saved]) {
            return Err(format!("saved {saved}, found {found}, listed {newest}").into());
        }
        let sql = format!(
            "SELECT title, genre, players, minutes FROM games.games WHERE id::text = '{id}'"
        );
        let rows = self.cluster.query(&sql).await?;
        let expected = [
            text(&saved, "title")?.to_owned(),
            text(&saved, "genre")?.to_owned(),
            saved["players"].to_string(),
            saved["minutes"].to_string(),
        ];
        if saved["title"] != TITLE || rows != [expected.map(Some)] {
            return Err(format!("saved {saved}, the cluster has {rows:?}").into());
        }
        let proof = Proof {
            words: format!(
                "game {TITLE:?} is the same in the answer to its POST, by its id, as the newest \
                 of the list, and in the cluster's own row"
            ),
            numbers: json!({ "rows": rows.len() }),
        };
        Ok(((), proof))
    }

    /// An invalid request is refused with the reason, and costs no more than one statement.
    pub(crate) async fn bad_requests(&self, started: Option<&mut Started>) -> Outcome<()> {
        let lambda = &mut Started::or_missing(started)?.lambda;
        let before = self.connection(WARM)?.flights.len();
        let unknown = get("/games/00000000-0000-0000-0000-000000000000");
        let refused = [
            (post("/games", "{"), 400),
            (post("/games", r#"{"title":""}"#), 400),
            (post("/games", r#"{"titel":"Go"}"#), 400),
            (get("/games/7"), 400),
            (get("/games?limit=0"), 400),
            (unknown, 404),
        ];
        let requests = refused.len();
        for (event, status) in refused {
            let answer = lambda.invoke(event).await?;
            let body = expect(&answer, status)?;
            text(&body, "detail")?;
            text(&body, "request_id")?;
        }
        let flights = self.connection(WARM)?.flights.split_off(before);
        if flights.len() != 1 {
            return Err(format!("one flight was expected, for the 404, not {flights:?}").into());
        }
        let proof = Proof {
            words: format!(
                "{} requests answered 400 without a statement, an unknown id 404 after one; each \
                 names the reason and the request id",
                requests - 1,
            ),
            numbers: json!({
                "answered_400": requests - 1, "answered_404": 1, "flights": flights.len(),
            }),
        };
        Ok(((), proof))
    }
}

/// With letters outside ASCII.
const TITLE: &str = "Schach für zwei ♟";
