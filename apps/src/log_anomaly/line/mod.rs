//! A line of a log, whatever its format: found per line, never configured per source.
//!
//! | format | recognised by |
//! |---|---|
//! | `json` | `{` first |
//! | `piped` | an ISO time, then parts between ` \| ` |
//! | `apache` | `[Sun Dec 04 04:47:44 2005] [error]`; or a client, two names, `[10/Oct/2000:13:55:36 -0700]` and a quoted request |
//! | `syslog` | `<34>1 2003-10-11T22:14:15Z` (RFC 5424); `<34>Oct 11 22:14:15`, also without `<34>` (RFC 3164) |
//! | `openstack` | a file's name, date, time, process, level, component |

mod clock;
mod fields;
mod json;
mod piped;
mod apache;
mod syslog;
mod openstack;
mod route;
mod secret;
mod reading;

pub use fields::{Format, LogLine, Oddity};
pub use reading::{BadLine, Read, Reader, ReaderSettings, message_of};
pub use route::{UserAgentClass, route_of, user_agent_class};
