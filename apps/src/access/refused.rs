//! Why a token is refused: for the log and a counter. Whoever sent it is told the status only.

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// It is longer than tokens are.
    #[error("the token is longer than 8 KiB")]
    TooLong,
    /// It has not three parts with dots between them.
    #[error("the token has not three parts")]
    NotThreeParts,
    /// Its header is no JSON object in base64url, or names something twice.
    #[error("the token's header cannot be read")]
    BadHeader,
    /// It says that it is another kind of token.
    #[error("the token is of another kind")]
    OtherKind,
    /// Its algorithm is neither RS256 nor ES256.
    #[error("the token's algorithm is neither RS256 nor ES256")]
    Algorithm,
    /// It demands an extension, and none is known.
    #[error("the token demands an extension (crit)")]
    Critical,
    /// It brings its key along, or says where to get it.
    #[error("the token names its own key (jku, jwk, x5c, x5u)")]
    OwnKey,
    /// It does not say by which key it is signed.
    #[error("the token names no key")]
    NoKeyId,
    /// The issuer has no key of this id.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// The key of this id is for another algorithm.
    #[error("the token's key is of another type than its algorithm")]
    OtherKeyType,
    /// The signature is not that of the key.
    #[error("the token's signature is wrong")]
    Signature,
    /// Its claims are no JSON object in base64url, or one of them is of another type.
    #[error("the token's claims cannot be read")]
    BadClaims,
    /// Another issuer made it.
    #[error("the token is of another issuer")]
    Issuer,
    /// It was made for others.
    #[error("the token is for another audience")]
    Audience,
    /// It was given to another client, or to one of several that is not named.
    #[error("the token was given to another client (azp)")]
    AuthorizedParty,
    /// It never ends.
    #[error("the token has no exp")]
    NoExpiry,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It is for later.
    #[error("the token is not valid yet (nbf)")]
    NotYet,
    /// An ID token must say when it was made.
    #[error("the token has no iat")]
    NoIssueTime,
    /// It was made later than now.
    #[error("the token is from the future (iat)")]
    FromTheFuture,
    /// It does not say who it is, or not in 1 to 255 printable characters of ASCII.
    #[error("the token has no usable sub")]
    Subject,
    /// The page's nonce is not in it, or the page had none.
    #[error("there is no nonce")]
    NonceMissing,
    /// It has another nonce than the page, or one that was not issued here or too long ago.
    #[error("the nonce is not the page's")]
    NonceOther,
    /// Somebody signed in with this nonce already.
    #[error("the nonce was used before")]
    NonceUsed,
    /// So many nonces were used lately that no more can be remembered.
    #[error("too many nonces are in use")]
    NoncesFull,
    /// The issuer's keys cannot be had, and those from before are too old.
    #[error("the issuer's keys are not there")]
    NoKeys,
}

impl Refused {
    /// All of them, for counters that are there from the start.
    pub const ALL: [Self; 26] = [
        Self::TooLong,
        Self::NotThreeParts,
        Self::BadHeader,
        Self::OtherKind,
        Self::Algorithm,
        Self::Critical,
        Self::OwnKey,
        Self::NoKeyId,
        Self::UnknownKey,
        Self::OtherKeyType,
        Self::Signature,
        Self::BadClaims,
        Self::Issuer,
        Self::Audience,
        Self::AuthorizedParty,
        Self::NoExpiry,
        Self::Expired,
        Self::NotYet,
        Self::NoIssueTime,
        Self::FromTheFuture,
        Self::Subject,
        Self::NonceMissing,
        Self::NonceOther,
        Self::NonceUsed,
        Self::NoncesFull,
        Self::NoKeys,
    ];

    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::TooLong | Self::NotThreeParts => 400,
            Self::NoncesFull | Self::NoKeys => 503,
            _ => 401,
        }
    }

    /// Its name as the value of a label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "token_too_long",
            Self::NotThreeParts => "not_three_parts",
            Self::BadHeader => "bad_header",
            Self::OtherKind => "other_kind",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical",
            Self::OwnKey => "own_key",
            Self::NoKeyId => "no_key_id",
            Self::UnknownKey => "unknown_key",
            Self::OtherKeyType => "other_key_type",
            Self::Signature => "signature",
            Self::BadClaims => "bad_claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::AuthorizedParty => "authorized_party",
            Self::NoExpiry => "no_expiry",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::NoIssueTime => "no_issue_time",
            Self::FromTheFuture => "from_the_future",
            Self::Subject => "subject",
            Self::NonceMissing => "nonce_missing",
            Self::NonceOther => "nonce_other",
            Self::NonceUsed => "nonce_used",
            Self::NoncesFull => "nonces_full",
            Self::NoKeys => "no_keys",
        }
    }
}
