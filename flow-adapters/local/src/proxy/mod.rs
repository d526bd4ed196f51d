//! The reverse proxy that carries traffic to the instances of a service.
