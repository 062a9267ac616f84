//! What policies may know of a client's certificate.

/// The names behind `iot:Certificate.` (AWS-POL-21, -22), as the service writes them.
const FIELDS: [&str; 37] = [
    "SerialNumber",
    "Subject.CommonName",
    "Subject.Country",
    "Subject.Organization",
    "Subject.OrganizationalUnit",
    "Subject.State",
    "Subject.SerialNumber",
    "Subject.Title",
    "Subject.Surname",
    "Subject.GivenName",
    "Subject.Initials",
    "Subject.Pseudonym",
    "Subject.GenerationQualifier",
    "Subject.DistinguishedNameQualifier",
    "Subject.AlternativeName.RFC822Name",
    "Subject.AlternativeName.DNSName",
    "Subject.AlternativeName.DirectoryName",
    "Subject.AlternativeName.UniformResourceIdentifier",
    "Subject.AlternativeName.IPAddress",
    "Issuer.CommonName",
    "Issuer.Country",
    "Issuer.Organization",
    "Issuer.OrganizationalUnit",
    "Issuer.State",
    "Issuer.SerialNumber",
    "Issuer.Title",
    "Issuer.Surname",
    "Issuer.GivenName",
    "Issuer.Initials",
    "Issuer.Pseudonym",
    "Issuer.GenerationQualifier",
    "Issuer.DistinguishedNameQualifier",
    "Issuer.AlternativeName.RFC822Name",
    "Issuer.AlternativeName.DNSName",
    "Issuer.AlternativeName.DirectoryName",
    "Issuer.AlternativeName.UniformResourceIdentifier",
    "Issuer.AlternativeName.IPAddress",
];

/// Further values of a field are not kept (AWS-ID-68).
const VALUES_MAX: usize = 5;

/// The longest value that is put in place of a variable, in characters (AWS-ID-68).
const LENGTH_MAX: usize = 1_024;

/// A field of certificates that policies can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Field(usize);

impl Field {
    /// Finds it by the name behind `iot:Certificate.`, in any case.
    pub(super) fn parse(name: &str) -> Option<Self> {
        FIELDS
            .iter()
            .position(|field| field.eq_ignore_ascii_case(name))
            .map(Self)
    }

    pub(super) fn name(self) -> &'static str {
        FIELDS[self.0]
    }
}

/// The name of no field of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no field of a certificate: Subject.CommonName is one")]
pub struct UnknownField(String);

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    id: String,
    /// As policies see them; `None` for a value that no variable stands for.
    fields: Vec<(Field, Vec<Option<String>>)>,
}

impl Certificate {
    /// One with this id, which is the SHA-256 of its DER in hexadecimal (AWS-ID-01).
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            fields: Vec::new(),
        }
    }

    /// Adds a value of a field: `Subject.CommonName`, `Issuer.AlternativeName.DNSName`, `SerialNumber`. A field
    /// keeps five.
    ///
    /// # Errors
    ///
    /// When policies know no such field.
    pub fn with(mut self, field: &str, value: &str) -> Result<Self, UnknownField> {
        let known = Field::parse(field).ok_or_else(|| UnknownField(field.to_owned()))?;
        let seen = seen_by_policies(value);
        match self.fields.iter_mut().find(|(field, _)| *field == known) {
            Some((_, values)) if values.len() < VALUES_MAX => values.push(seen),
            Some(_) => {}
            None => self.fields.push((known, vec![seen])),
        }
        Ok(self)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The value of a field at a place, from 0.
    pub(super) fn value(&self, field: Field, place: usize) -> Option<&str> {
        self.all(field).get(place)?.as_deref()
    }

    /// The values of a field.
    pub(super) fn values(&self, field: Field) -> impl Iterator<Item = &str> {
        self.all(field).iter().flatten().map(String::as_str)
    }

    /// The variables that have a value (AWS-ID-71).
    pub(super) fn available(&self) -> impl Iterator<Item = String> {
        let fields = self.fields.iter();
        fields
            .filter(|(_, values)| values.iter().any(Option::is_some))
            .map(|(field, _)| format!("iot:Certificate.{}", field.name()))
    }

    fn all(&self, field: Field) -> &[Option<String>] {
        let mut fields = self.fields.iter();
        fields
            .find(|(found, _)| *found == field)
            .map_or(&[], |(_, values)| values)
    }
}

/// A value as it takes the place of a variable, if it may (AWS-ID-67, -68, -69).
fn seen_by_policies(value: &str) -> Option<String> {
    if value.contains(['*', '$', '+', '?', '#']) || value.chars().count() > LENGTH_MAX {
        return None;
    }
    let mut seen = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, ',' | '"' | '\\' | '=' | '<' | '>' | ';') {
            seen.push('\\');
        }
        seen.push(character);
    }
    Some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_case() {
        for name in FIELDS {
            let field = Field::parse(&name.to_ascii_lowercase()).unwrap();
            assert_eq!(field.name(), name);
        }
        assert_eq!(Field::parse("Subject"), None);
        assert!(Certificate::new("c").with("Subject.Age", "7").is_err());
    }

    /// AWS-ID-67, AWS-ID-68, AWS-ID-69.
    #[test]
    fn values_are_seen_escaped_or_not_at_all() {
        assert_eq!(
            seen_by_policies("A, B=\"c\"\\").as_deref(),
            Some(r#"A\, B\=\"c\"\\"#)
        );
        for character in ["*", "$", "+", "?", "#"] {
            assert_eq!(seen_by_policies(&format!("a{character}b")), None);
        }
        assert!(seen_by_policies(&"é".repeat(1_024)).is_some());
        assert!(seen_by_policies(&"é".repeat(1_025)).is_none());
    }

    /// AWS-ID-68, AWS-ID-71.
    #[test]
    fn a_field_has_five_values_and_one_of_them_makes_it_available() {
        let mut certificate = Certificate::new("c");
        for number in 0..7 {
            let name = if number == 1 {
                "a*".to_owned()
            } else {
                format!("a{number}")
            };
            certificate = certificate.with("Subject.CommonName", &name).unwrap();
        }
        certificate = certificate.with("Issuer.Country", "*").unwrap();
        let field = Field::parse("Subject.CommonName").unwrap();
        assert_eq!(
            certificate.values(field).collect::<Vec<_>>(),
            ["a0", "a2", "a3", "a4"]
        );
        assert_eq!(certificate.value(field, 1), None);
        assert_eq!(certificate.value(field, 2), Some("a2"));
        assert_eq!(certificate.value(field, 5), None);
        let available: Vec<_> = certificate.available().collect();
        assert_eq!(available, ["iot:Certificate.Subject.CommonName"]);
    }
}
