//! Authorizers: functions that say who clients are that have no certificate (AWS-OPS-46).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::certificates::dated;
use super::names::{AUTHORIZER_NAME, NAME, PUBLIC_KEY, Resource, TOKEN_KEY_NAME, check};
use super::record::{Attributes, Authorizer};
use super::x509::rsa_public_key;
use super::{Draft, Error, Listed, Page, State};

/// Characters of the ARN of a function.
const FUNCTION_ARN_MAX: usize = 2048;

/// What is said of an authorizer at its creation.
#[derive(Clone, Debug, Default)]
pub struct NewAuthorizer<'a> {
    /// The function that is asked.
    pub function_arn: &'a str,
    /// Under which name clients send their token.
    pub token_key_name: Option<String>,
    /// Names and PEMs of RSA keys: the token was signed with one of them.
    pub token_signing_public_keys: BTreeMap<String, String>,
    /// Whether clients are let in by it.
    pub is_active: bool,
    /// Whether tokens need no signature. Both of the above are needed otherwise.
    pub signing_disabled: bool,
    /// Whether answers hold for further requests over HTTP, too.
    pub caching_for_http: bool,
    /// Keys and values.
    pub tags: Attributes,
}

/// What is to change of an authorizer.
#[derive(Clone, Debug, Default)]
pub struct AuthorizerUpdate<'a> {
    /// The function that is asked.
    pub function_arn: Option<&'a str>,
    /// Under which name clients send their token, if they do.
    pub token_key_name: Option<Option<String>>,
    /// All keys, in the place of those that it has.
    pub token_signing_public_keys: Option<BTreeMap<String, String>>,
    /// Whether clients are let in by it.
    pub is_active: Option<bool>,
    /// Whether answers hold for further requests over HTTP, too.
    pub caching_for_http: Option<bool>,
}

impl State {
    /// An authorizer.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn describe_authorizer(&self, name: &str) -> Result<Arc<Authorizer>, Error> {
        check("authorizerName", name, &AUTHORIZER_NAME)?;
        self.authorizer(name).cloned()
    }

    pub(super) fn authorizer(&self, name: &str) -> Result<&Arc<Authorizer>, Error> {
        let authorizer = self.authorizers.get(name);
        authorizer.ok_or_else(|| Error::not_found("Authorizer", name))
    }

    /// Authorizers in the order of their creation; those that are active or that are not, if that is asked.
    ///
    /// # Errors
    ///
    /// InvalidRequest for a token of another list.
    pub fn list_authorizers(
        &self,
        is_active: Option<bool>,
        page: Page<'_>,
    ) -> Result<Listed<Arc<Authorizer>>, Error> {
        let is_wanted = |name: &str| {
            let own = self.authorizers.get(name).map(|own| own.is_active);
            is_active.is_none() || own == is_active
        };
        let names = dated("authorizers", &self.authorizer_dates, page, is_wanted)?;
        Ok(names.look_up(|name| self.authorizers.get(&name).cloned()))
    }

    /// The authorizer of clients that name none.
    ///
    /// # Errors
    ///
    /// ResourceNotFound if there is none.
    pub fn describe_default_authorizer(&self) -> Result<Arc<Authorizer>, Error> {
        let name = self.default_authorizer();
        let name = name
            .ok_or_else(|| Error::ResourceNotFound("There is no default authorizer.".to_owned()))?;
        self.authorizer(name).cloned()
    }

    /// The name of the authorizer of clients that name none.
    pub(crate) fn default_authorizer(&self) -> Option<&String> {
        self.account()?.default_authorizer.as_ref()
    }

    /// Whether there is any.
    #[cfg(feature = "websocket")]
    pub(crate) fn has_authorizers(&self) -> bool {
        !self.authorizers.is_empty()
    }
}

impl Draft<'_> {
    /// Creates an authorizer.
    ///
    /// # Errors
    ///
    /// ResourceAlreadyExists, and InvalidRequest for one that verifies tokens and lacks what that takes.
    pub fn create_authorizer(
        &mut self,
        name: &str,
        new: NewAuthorizer<'_>,
    ) -> Result<Arc<Authorizer>, Error> {
        check("authorizerName", name, &AUTHORIZER_NAME)?;
        super::tags::check_tags(&new.tags)?;
        let now = self.now();
        let authorizer = Authorizer {
            name: name.to_owned(),
            function_arn: new.function_arn.to_owned(),
            token_key_name: new.token_key_name,
            token_signing_public_keys: new.token_signing_public_keys,
            is_active: new.is_active,
            signing_disabled: new.signing_disabled,
            caching_for_http: new.caching_for_http,
            created: now,
            modified: now,
            tags: new.tags,
        };
        check_authorizer(&authorizer)?;
        if self.authorizers.contains_key(name) {
            return Err(Error::ResourceAlreadyExists {
                message: format!("Authorizer {name} already exists."),
                id: name.to_owned(),
                arn: self.arn(&Resource::Authorizer(name.to_owned())),
            });
        }
        Ok(self.put(authorizer))
    }

    /// Changes an authorizer. Whether it verifies tokens stays as it was (AWS-OPS-46).
    ///
    /// # Errors
    ///
    /// ResourceNotFound, InvalidRequest.
    pub fn update_authorizer(
        &mut self,
        name: &str,
        update: AuthorizerUpdate<'_>,
    ) -> Result<(), Error> {
        let old = self.describe_authorizer(name)?;
        let mut authorizer = Authorizer::clone(&old);
        if let Some(function_arn) = update.function_arn {
            authorizer.function_arn = function_arn.to_owned();
        }
        if let Some(token_key_name) = update.token_key_name {
            authorizer.token_key_name = token_key_name;
        }
        if let Some(keys) = update.token_signing_public_keys {
            authorizer.token_signing_public_keys = keys;
        }
        authorizer.is_active = update.is_active.unwrap_or(old.is_active);
        authorizer.caching_for_http = update.caching_for_http.unwrap_or(old.caching_for_http);
        check_authorizer(&authorizer)?;
        if authorizer != *old {
            authorizer.modified = self.now();
            self.put(authorizer);
        }
        Ok(())
    }

    /// Deletes an authorizer that is not active, and not the default.
    ///
    /// # Errors
    ///
    /// ResourceNotFound, DeleteConflict.
    pub fn delete_authorizer(&mut self, name: &str) -> Result<(), Error> {
        let authorizer = self.describe_authorizer(name)?;
        if authorizer.is_active {
            return Err(Error::DeleteConflict(format!(
                "Authorizer {name} is ACTIVE: it has to be made INACTIVE before (UpdateAuthorizer)."
            )));
        }
        if self.default_authorizer().is_some_and(|own| own == name) {
            return Err(Error::DeleteConflict(format!(
                "Authorizer {name} is the default: that has to be cleared before \
                 (ClearDefaultAuthorizer)."
            )));
        }
        self.remove::<Authorizer>(name);
        Ok(())
    }

    /// Makes an authorizer the one of clients that name none.
    ///
    /// # Errors
    ///
    /// ResourceNotFound, and ResourceAlreadyExists if another one is.
    pub fn set_default_authorizer(&mut self, name: &str) -> Result<(), Error> {
        self.describe_authorizer(name)?;
        match self.default_authorizer() {
            None => self.put_default_authorizer(Some(name.to_owned())),
            Some(own) if own == name => {}
            Some(own) => {
                return Err(Error::ResourceAlreadyExists {
                    message: format!(
                        "Authorizer {own} is the default: that has to be cleared before \
                         (ClearDefaultAuthorizer)."
                    ),
                    id: own.clone(),
                    arn: self.arn(&Resource::Authorizer(own.clone())),
                });
            }
        }
        Ok(())
    }

    /// Leaves clients that name none without an authorizer.
    ///
    /// # Errors
    ///
    /// ResourceNotFound if there is no default.
    pub fn clear_default_authorizer(&mut self) -> Result<(), Error> {
        self.describe_default_authorizer()?;
        self.put_default_authorizer(None);
        Ok(())
    }

    pub(super) fn put_default_authorizer(&mut self, name: Option<String>) {
        self.update_account(|account| account.default_authorizer = name);
    }
}

/// Whether an authorizer can be as it is.
fn check_authorizer(authorizer: &Authorizer) -> Result<(), Error> {
    let length = authorizer.function_arn.chars().count();
    if length == 0 || length > FUNCTION_ARN_MAX {
        return Err(Error::InvalidRequest(format!(
            "authorizerFunctionArn has 1 to {FUNCTION_ARN_MAX} characters, and not {length}."
        )));
    }
    if let Some(name) = &authorizer.token_key_name {
        check("tokenKeyName", name, &TOKEN_KEY_NAME)?;
    }
    for (name, key) in &authorizer.token_signing_public_keys {
        check("tokenSigningPublicKeys.member.key", name, &NAME)?;
        check("tokenSigningPublicKeys.member.value", key, &PUBLIC_KEY)?;
        rsa_public_key(key).map_err(|reason| {
            Error::InvalidRequest(format!("The public key {name} cannot be taken: {reason}."))
        })?;
    }
    let has_both =
        authorizer.token_key_name.is_some() && !authorizer.token_signing_public_keys.is_empty();
    if !authorizer.signing_disabled && !has_both {
        return Err(Error::invalid(
            "tokenKeyName and tokenSigningPublicKeys are required unless signingDisabled is true.",
        ));
    }
    Ok(())
}
