//! The embedded default adapters: processes, a proxy, directories, a webhook.
