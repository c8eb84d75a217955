//! Why a sign-in is refused. The reason is for the log and a counter; the answer says the status only.

use crate::access::Refused;

/// Why a sign-in is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Nothing was sent.
    #[error("there is no body")]
    NoBody,
    /// It is neither JSON nor a form.
    #[error("the body is neither JSON nor a form")]
    MediaType,
    /// It is not the JSON or the form of a sign-in, or names something twice.
    #[error("the body cannot be read")]
    BadBody,
    /// There is no token in it.
    #[error("there is no credential")]
    NoCredential,
    /// Another site sent the form: the cookie of the page is missing or not what stands in the form.
    #[error("the form is not the page's (g_csrf_token)")]
    ForgedForm,
    /// Another site sent the JSON: the origin is missing or another one.
    #[error("the request is of another origin")]
    OtherOrigin,
    /// The token is refused.
    #[error(transparent)]
    Token(#[from] Refused),
    /// The clock is before 1970 or after 9998.
    #[error("the clock is wrong")]
    Clock,
}

impl Refusal {
    /// All of them that are not about tokens.
    const OWN: [Self; 7] = [
        Self::NoBody,
        Self::MediaType,
        Self::BadBody,
        Self::NoCredential,
        Self::ForgedForm,
        Self::OtherOrigin,
        Self::Clock,
    ];

    /// All of them, for counters that are there from the start.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::OWN.into_iter().chain(Refused::ALL.into_iter().map(Self::Token))
    }

    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::NoBody | Self::BadBody | Self::NoCredential => 400,
            Self::ForgedForm | Self::OtherOrigin => 403,
            Self::MediaType => 415,
            Self::Token(refused) => refused.status(),
            Self::Clock => 503,
        }
    }

    /// What the answer says: nothing by which a token could be made better.
    pub fn title(self) -> &'static str {
        match self.status() {
            400 => "This is no sign-in.",
            403 => "The sign-in must come from this page.",
            415 => "Send JSON or a form.",
            503 => "Signing in is not possible now.",
            _ => "The sign-in was refused.",
        }
    }

    /// Its name as the value of a label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoBody => "no_body",
            Self::MediaType => "media_type",
            Self::BadBody => "bad_body",
            Self::NoCredential => "no_credential",
            Self::ForgedForm => "forged_form",
            Self::OtherOrigin => "other_origin",
            Self::Token(refused) => refused.reason(),
            Self::Clock => "clock",
        }
    }
}
