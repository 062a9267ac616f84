//! A request as an operation sees it: members by name, wherever in it they stand.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use uuid::Uuid;

use crate::auth::Principal;
use crate::aws::registry::{Attributes, Listed, Page};
use crate::broker::access::Authorization;
use crate::time::machine_seconds;

use super::super::Api;
use super::super::arrival::Arrival;
use super::super::body::JsonBody;
use super::super::query::pairs;
use super::authorized;
use super::permission::Proof;
use super::refusal::Refusal;
use super::route::Found;

/// Bytes of a body. The longest member is a policy, with 404,600 characters in the model.
const BODY_MAX: usize = 2 << 20;

/// Items of a page of the data plane at most.
pub(super) const SHORT_PAGE: usize = 200;

/// The members of a request.
pub(super) struct Call {
    /// The request's own.
    pub(super) id: Uuid,
    /// Who makes it, where that had to be shown.
    pub(super) principal: Option<Principal>,
    /// What the authorizer that it names says of who makes it.
    pub(super) authorization: Option<Arc<Authorization>>,
    /// Where it comes from, as far as anybody knows.
    pub(super) arrival: Option<Arc<Arrival>>,
    path: Vec<(&'static str, String)>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Option<JsonBody>,
}

/// `{"Key": "...", "Value": "..."}`
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

/// `attributePayload`
#[derive(Default, Deserialize)]
pub(super) struct AttributePayload {
    pub(super) attributes: Option<Attributes>,
    #[serde(default)]
    pub(super) merge: bool,
}

/// Tags by their keys.
pub(super) fn by_key(tags: Option<Vec<Tag>>) -> Attributes {
    let tags = tags.unwrap_or_default().into_iter();
    tags.map(|tag| (tag.key, tag.value)).collect()
}

impl Call {
    /// Takes all of a request, its body too.
    ///
    /// # Errors
    ///
    /// A query or a body that cannot be read, and a signature that is missing or wrong where one is needed.
    pub(super) async fn read(
        id: Uuid,
        found: Found,
        proof: Proof,
        request: Request,
        api: &Api,
    ) -> Result<Self, Refusal> {
        let query = pairs(request.uri())?;
        let is_raw = found.operation.is_raw;
        let (parts, body) = request.into_parts();
        let body = match is_raw {
            true => Some(JsonBody::read_raw(body, api, BODY_MAX).await?),
            false => JsonBody::read_optional(&parts.headers, body, api, BODY_MAX).await?,
        };
        let bytes = body.as_ref().map_or(&[][..], JsonBody::bytes);
        let now = machine_seconds();
        let arrival: Option<Arc<Arrival>> = parts.extensions.get().cloned();
        let authorization = match proof {
            Proof::Authorizer => {
                Some(authorized::authorize(api, id, &parts, arrival.as_deref()).await?)
            }
            _ => None,
        };
        let principal = proof.principal(api.host.config(), &parts, bytes, now)?;
        Ok(Self {
            id,
            principal,
            authorization,
            arrival,
            path: found.members,
            query,
            headers: parts.headers,
            body,
        })
    }

    /// A member of the path.
    pub(super) fn path(&self, name: &str) -> &str {
        let member = self.path.iter().find(|(own, _)| *own == name);
        debug_assert!(
            member.is_some(),
            "no operation asks for what its path lacks"
        );
        member.map_or("", |(_, value)| value)
    }

    /// A member of the query, also if it is empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        let (_, value) = self.query.iter().find(|(own, _)| own == name)?;
        Some(value)
    }

    /// A member of the query; an empty one is none.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// A member of the query that is `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        Ok(self.parsed(name, "be true or false")?.unwrap_or(false))
    }

    /// A member of the query that says `constraint` of itself.
    pub(super) fn parsed<T: FromStr>(
        &self,
        name: &str,
        constraint: &str,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Refusal::constraint(name, Some(text), constraint)),
        }
    }

    /// A version that is expected.
    pub(super) fn expected_version(&self) -> Result<Option<u64>, Refusal> {
        self.parsed("expectedVersion", "be a whole number")
    }

    /// A member that stands in a header, and has to be there.
    pub(super) fn header(&self, header: &str, name: &str) -> Result<&str, Refusal> {
        self.given_header(header, name)?
            .ok_or_else(|| Refusal::missing(name))
    }

    /// A member that stands in a header, if it is there.
    pub(super) fn given_header(&self, header: &str, name: &str) -> Result<Option<&str>, Refusal> {
        let value = self.headers.get(header).map(HeaderValue::to_str);
        let value = value.transpose();
        value.map_err(|_| Refusal::invalid(format!("Value at '{name}' is no text.")))
    }

    /// The members of the body; one that is absent has none.
    pub(super) fn body<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Refusal> {
        let body = match &self.body {
            Some(body) => body.parse(),
            None => JsonBody::parse_nothing(),
        };
        body.map_err(|error| match error.missing() {
            Some(member) => Refusal::missing(member),
            None => {
                let field = error.field().map(|field| format!(" at '{field}'"));
                let field = field.unwrap_or_default();
                Refusal::invalid(format!("The body cannot be read{field}: {}", error.text()))
            }
        })
    }

    /// The body of an operation that takes it as it is ([`Operation::raw`](super::operation::Operation::raw)).
    pub(super) fn raw(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], JsonBody::bytes)
    }

    /// The page of a list with `maxResults` and `nextToken`.
    pub(super) fn page(&self) -> Result<Page<'_>, Refusal> {
        self.page_by("maxResults", "nextToken")
    }

    /// The page of a list with `pageSize` and `marker`, from the last to the first unless `isAscendingOrder`.
    pub(super) fn dated_page(&self) -> Result<Page<'_>, Refusal> {
        Ok(Page {
            is_descending: !self.flag("isAscendingOrder")?,
            ..self.marked_page()?
        })
    }

    /// The page of a list with `pageSize` and `marker`.
    pub(super) fn marked_page(&self) -> Result<Page<'_>, Refusal> {
        self.page_by("pageSize", "marker")
    }

    /// The page of a list of the data plane with `maxResults` and `nextToken`: of so many items, unless it is
    /// said.
    pub(super) fn short_page(&self, usual: usize) -> Result<Page<'_>, Refusal> {
        let page = self.page_up_to(SHORT_PAGE, "maxResults", "nextToken")?;
        Ok(Page {
            limit: page.limit.or(Some(usual)),
            ..page
        })
    }

    pub(super) fn page_by(&self, limit: &str, token: &str) -> Result<Page<'_>, Refusal> {
        self.page_up_to(Page::LIMIT_MAX, limit, token)
    }

    fn page_up_to(&self, most: usize, limit: &str, token: &str) -> Result<Page<'_>, Refusal> {
        let size: Option<usize> = self.parsed(limit, "be a whole number")?;
        let constraint = match size {
            Some(0) => Some("greater than or equal to 1".to_owned()),
            Some(size) if size > most => Some(format!("less than or equal to {most}")),
            _ => None,
        };
        if let Some(constraint) = constraint {
            let constraint = format!("have value {constraint}");
            return Err(Refusal::constraint(limit, self.text(limit), &constraint));
        }
        Ok(Page {
            limit: size,
            token: self.text(token),
            is_descending: false,
        })
    }
}

/// The names of lists' members.
pub(super) struct Names {
    pub(super) items: &'static str,
    pub(super) next: &'static str,
}

/// A page as it is answered.
pub(super) fn listed<T: Into<serde_json::Value>>(
    names: Names,
    page: Listed<T>,
) -> serde_json::Value {
    let items: Vec<serde_json::Value> = page.items.into_iter().map(Into::into).collect();
    let mut members = serde_json::Map::new();
    members.insert(names.items.to_owned(), items.into());
    members.insert(names.next.to_owned(), page.next.into());
    members.into()
}

/// A list that goes on with `nextToken`.
pub(super) fn with_token(items: &'static str) -> Names {
    Names {
        items,
        next: "nextToken",
    }
}

/// A list that goes on with `nextMarker`.
pub(super) fn with_marker(items: &'static str) -> Names {
    Names {
        items,
        next: "nextMarker",
    }
}

/// A time as the control plane writes it: seconds (AWS-API-44).
pub(super) fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}
