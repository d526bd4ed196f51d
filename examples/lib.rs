//! Examples of deployments built on flow; each is a file or a folder beside this one.
