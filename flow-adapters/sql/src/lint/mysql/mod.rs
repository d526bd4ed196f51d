//! MariaDB and MySQL: the cheapest `ALGORITHM` and `LOCK`, as MariaDB 10.11 accepts them; of MySQL by its manual alone
//! (<https://dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html>).

mod alter;
mod column;
mod cost;
mod options;
mod statement;

pub(super) use statement::judge;
