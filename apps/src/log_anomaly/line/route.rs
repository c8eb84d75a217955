//! What paths and user agents have in common.

use serde::{Deserialize, Serialize};
use woothee::parser::Parser;

/// Stands for an id in a route.
const ID: &str = "{}";
/// Parts of a route beyond this are left out.
const PARTS_MAX: usize = 16;

/// A path without its query, with ids as `{}`: whole numbers, eight or more hexadecimal digits, UUIDs.
pub fn route_of(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    // An absolute address, as a proxy logs it.
    let path = match path.split_once("://") {
        Some((_, behind)) => behind.find('/').and_then(|at| behind.get(at..)).unwrap_or("/"),
        None => path,
    };
    let part = |part| if is_id(part) { ID } else { part };
    path.split('/').take(PARTS_MAX).map(part).collect::<Vec<_>>().join("/")
}

fn is_id(part: &str) -> bool {
    let hex = || part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let uuid = || part.len() == 36 && part.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    let number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    number || (part.len() >= 8 && hex()) || uuid()
}

/// What kind of device a user agent says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserAgentClass {
    /// A computer.
    Pc,
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// A program that reads by itself.
    Bot,
    /// Anything else.
    Other,
}

/// The class of a user agent.
pub fn user_agent_class(agent: &str) -> UserAgentClass {
    let is_tablet = agent.contains("iPad")
        || agent.contains("Tablet")
        || (agent.contains("Android") && !agent.contains("Mobile"));
    match Parser::new().parse(agent).map(|found| found.category) {
        Some("crawler") => UserAgentClass::Bot,
        Some("smartphone" | "pc") if is_tablet => UserAgentClass::Tablet,
        Some("smartphone" | "mobilephone") => UserAgentClass::Phone,
        Some("pc") => UserAgentClass::Pc,
        _ if is_a_program(agent) => UserAgentClass::Bot,
        _ => UserAgentClass::Other,
    }
}

/// What such programs call themselves.
fn is_a_program(agent: &str) -> bool {
    let agent = agent.to_ascii_lowercase();
    ["bot", "crawl", "spider", "curl/", "wget/", "python-", "go-http-client", "java/"]
        .iter()
        .any(|word| agent.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_have_no_ids_and_no_query() {
        for (path, wanted) in [
            ("/v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/detail?x=1", "/v2/{}/servers/detail"),
            ("/orders/17/lines/3#top", "/orders/{}/lines/{}"),
            ("/u/123e4567-e89b-12d3-a456-426614174000", "/u/{}"),
            ("https://shop.example/cart/9?a", "/cart/{}"),
            ("https://shop.example", "/"),
            ("/facade/decade", "/facade/decade"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(route_of(path), wanted, "{path}");
        }
        assert!(route_of(&"/a".repeat(1_000)).len() < 40);
    }

    #[test]
    fn agents_are_classed() {
        use UserAgentClass::{Bot, Other, Pc, Phone, Tablet};
        for (agent, wanted) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
                Pc,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1",
                Phone,
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Mobile/15E148 Safari/604.1",
                Tablet,
            ),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Bot),
            ("curl/8.5.0", Bot),
            ("-", Other),
            ("", Other),
        ] {
            assert_eq!(user_agent_class(agent), wanted, "{agent}");
        }
    }
}
