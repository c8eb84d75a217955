//! The roles that an access token gives, where Keycloak writes them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::claims::Claims;

/// The roles of `realm_access`, and those of this client in `resource_access`.
pub fn roles(claims: &Claims, client: &str) -> BTreeSet<String> {
    let realm = claims.all().get("realm_access");
    let own = claims.all().get("resource_access").and_then(|all| all.get(client));
    let lists =
        [realm, own].into_iter().flatten().filter_map(|place| place.get("roles")?.as_array());
    lists.flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::claims::claims_of;
    use super::*;

    #[test]
    fn roles_are_those_of_the_realm_and_of_the_own_client() {
        let of =
            |claims: Value| roles(&claims_of(claims), "millstream").into_iter().collect::<Vec<_>>();
        let both = json!({
            "realm_access": {"roles": ["USER", "ADMIN", 7]},
            "resource_access": {"millstream": {"roles": ["INGEST"]}, "other": {"roles": ["ROOT"]}},
            "roles": ["OWNER"],
        });
        assert_eq!(of(both), ["ADMIN", "INGEST", "USER"]);
        let odd = json!({"realm_access": "ADMIN", "resource_access": {"millstream": ["ADMIN"]}});
        assert!(of(odd).is_empty());
    }
}
