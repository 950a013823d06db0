// This file was generated with `clorinde`. Do not modify.

#[derive(Debug)]
pub struct AddGameParams<T1: crate::StringSql> {
    pub id: uuid::Uuid,
    pub title: T1,
    pub players: i32,
}
#[derive(Clone, Copy, Debug)]
pub struct SetPlayersParams {
    pub players: i32,
    pub id: uuid::Uuid,
}
#[derive(Debug, Clone, PartialEq)]
pub struct GamesFor {
    pub id: uuid::Uuid,
    pub title: String,
    pub players: i32,
}
pub struct GamesForBorrowed<'a> {
    pub id: uuid::Uuid,
    pub title: &'a str,
    pub players: i32,
}
impl<'a> From<GamesForBorrowed<'a>> for GamesFor {
    fn from(GamesForBorrowed { id, title, players }: GamesForBorrowed<'a>) -> Self {
        Self {
            id,
            title: title.into(),
            players,
        }
    }
}
use crate::client::async_::GenericClient;
use futures::{self, StreamExt, TryStreamExt};
pub struct GamesForQuery<'c, 'a, 's, C: GenericClient, T, const N: usize> {
    client: &'c C,
    params: [&'a (dyn postgres_types::ToSql + Sync); N],
    query: &'static str,
    cached: Option<&'s tokio_postgres::Statement>,
    extractor: fn(&tokio_postgres::Row) -> Result<GamesForBorrowed, tokio_postgres::Error>,
    mapper: fn(GamesForBorrowed) -> T,
}
impl<'c, 'a, 's, C, T: 'c, const N: usize> GamesForQuery<'c, 'a, 's, C, T, N>
where
    C: GenericClient,
{
    pub fn map<R>(self, mapper: fn(GamesForBorrowed) -> R) -> GamesForQuery<'c, 'a, 's, C, R, N> {
        GamesForQuery {
            client: self.client,
            params: self.params,
            query: self.query,
            cached: self.cached,
            extractor: self.extractor,
            mapper,
        }
    }
    pub async fn one(self) -> Result<T, tokio_postgres::Error> {
        let row =
            crate::client::async_::one(self.client, self.query, &self.params, self.cached).await?;
        Ok((self.mapper)((self.extractor)(&row)?))
    }
    pub async fn all(self) -> Result<Vec<T>, tokio_postgres::Error> {
        self.iter().await?.try_collect().await
    }
    pub async fn opt(self) -> Result<Option<T>, tokio_postgres::Error> {
        let opt_row =
            crate::client::async_::opt(self.client, self.query, &self.params, self.cached).await?;
        Ok(opt_row
            .map(|row| {
                let extracted = (self.extractor)(&row)?;
                Ok((self.mapper)(extracted))
            })
            .transpose()?)
    }
    pub async fn iter(
        self,
    ) -> Result<
        impl futures::Stream<Item = Result<T, tokio_postgres::Error>> + 'c,
        tokio_postgres::Error,
    > {
        let stream = crate::client::async_::raw(
            self.client,
            self.query,
            crate::slice_iter(&self.params),
            self.cached,
        )
        .await?;
        let mapped = stream
            .map(move |res| {
                res.and_then(|row| {
                    let extracted = (self.extractor)(&row)?;
                    Ok((self.mapper)(extracted))
                })
            })
            .into_stream();
        Ok(mapped)
    }
}
pub struct AddGameStmt(&'static str, Option<tokio_postgres::Statement>);
pub fn add_game() -> AddGameStmt {
    AddGameStmt(
        "INSERT INTO games (id, title, players) VALUES ($1, $2, $3)",
        None,
    )
}
impl AddGameStmt {
    pub async fn prepare<'a, C: GenericClient>(
        mut self,
        client: &'a C,
    ) -> Result<Self, tokio_postgres::Error> {
        self.1 = Some(client.prepare(self.0).await?);
        Ok(self)
    }
    pub async fn bind<'c, 'a, 's, C: GenericClient, T1: crate::StringSql>(
        &'s self,
        client: &'c C,
        id: &'a uuid::Uuid,
        title: &'a T1,
        players: &'a i32,
    ) -> Result<u64, tokio_postgres::Error> {
        client.execute(self.0, &[id, title, players]).await
    }
}
impl<'a, C: GenericClient + Send + Sync, T1: crate::StringSql>
    crate::client::async_::Params<
        'a,
        'a,
        'a,
        AddGameParams<T1>,
        std::pin::Pin<
            Box<dyn futures::Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'a>,
        >,
        C,
    > for AddGameStmt
{
    fn params(
        &'a self,
        client: &'a C,
        params: &'a AddGameParams<T1>,
    ) -> std::pin::Pin<
        Box<dyn futures::Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'a>,
    > {
        Box::pin(self.bind(client, &params.id, &params.title, &params.players))
    }
}
pub struct GamesForStmt(&'static str, Option<tokio_postgres::Statement>);
pub fn games_for() -> GamesForStmt {
    GamesForStmt(
        "SELECT id, title, players FROM games WHERE players >= $1 ORDER BY title",
        None,
    )
}
impl GamesForStmt {
    pub async fn prepare<'a, C: GenericClient>(
        mut self,
        client: &'a C,
    ) -> Result<Self, tokio_postgres::Error> {
        self.1 = Some(client.prepare(self.0).await?);
        Ok(self)
    }
    pub fn bind<'c, 'a, 's, C: GenericClient>(
        &'s self,
        client: &'c C,
        players: &'a i32,
    ) -> GamesForQuery<'c, 'a, 's, C, GamesFor, 1> {
        GamesForQuery {
            client,
            params: [players],
            query: self.0,
            cached: self.1.as_ref(),
            extractor:
                |row: &tokio_postgres::Row| -> Result<GamesForBorrowed, tokio_postgres::Error> {
                    Ok(GamesForBorrowed {
                        id: row.try_get(0)?,
                        title: row.try_get(1)?,
                        players: row.try_get(2)?,
                    })
                },
            mapper: |it| GamesFor::from(it),
        }
    }
}
pub struct SetPlayersStmt(&'static str, Option<tokio_postgres::Statement>);
pub fn set_players() -> SetPlayersStmt {
    SetPlayersStmt("UPDATE games SET players = $1 WHERE id = $2", None)
}
impl SetPlayersStmt {
    pub async fn prepare<'a, C: GenericClient>(
        mut self,
        client: &'a C,
    ) -> Result<Self, tokio_postgres::Error> {
        self.1 = Some(client.prepare(self.0).await?);
        Ok(self)
    }
    pub async fn bind<'c, 'a, 's, C: GenericClient>(
        &'s self,
        client: &'c C,
        players: &'a i32,
        id: &'a uuid::Uuid,
    ) -> Result<u64, tokio_postgres::Error> {
        client.execute(self.0, &[players, id]).await
    }
}
impl<'a, C: GenericClient + Send + Sync>
    crate::client::async_::Params<
        'a,
        'a,
        'a,
        SetPlayersParams,
        std::pin::Pin<
            Box<dyn futures::Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'a>,
        >,
        C,
    > for SetPlayersStmt
{
    fn params(
        &'a self,
        client: &'a C,
        params: &'a SetPlayersParams,
    ) -> std::pin::Pin<
        Box<dyn futures::Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'a>,
    > {
        Box::pin(self.bind(client, &params.players, &params.id))
    }
}
