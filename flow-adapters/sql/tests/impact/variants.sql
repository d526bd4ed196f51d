-- PostgreSQL: beside the tables of setup.sql, what the statements of variants_postgres.json act on
create schema s2; create table "Odd Name"(id int primary key, "Camel" varchar(10)); create table s2.o(id int, t varchar(5));
create table parent(id int primary key); create table child(id int primary key, pid int references parent(id), amount numeric(8,2), at timestamp(3), flags bit varying(8), ip cidr, tags varchar(10)[]);
create index child_amount on child(amount); create index child_at on child(at); insert into parent select generate_series(1,100); insert into child select g,g,1,now() from generate_series(1,100) g;
create domain dpos as int check (value>0); create domain dplain as text; create type color as enum('red','green');
create table part(k int, v text) partition by range(k); create table part1 partition of part for values from (0) to (10); create table part2 partition of part for values from (10) to (20); insert into part select 5 from generate_series(1,50);
create view vchild as select id, pid from child; create materialized view mv as select id from child; create sequence sq; create unique index mvi on mv(id);
create table chk(a int, b varchar(10), constraint ck check (a>0), constraint ckb check (length(b)>1)); insert into chk values (1,'ab');
create table dom(a dpos, b dplain); create function trf() returns trigger language plpgsql as $$begin return new; end$$; create trigger tg before insert on child for each row execute function trf();
create table kid() inherits(chk);
create rule rl as on insert to s2.o do nothing; create policy po on chk;
create or replace function vf() returns int language sql volatile as 'select 1'; create or replace function sf() returns int language sql immutable as 'select 1';
