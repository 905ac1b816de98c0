-- The roles of an application with replicas, each with the least that it needs, and its database. By psql, as a superuser, on
-- the primary; it may be run again. Standbys get it with the log.
--
--   psql -v ON_ERROR_STOP=1 -f roles.sql
--
-- Then set passwords so that none is seen on the way, in psql: \password shop, and so on. The role for promotions by rr is in
-- docs/guide/failover.md; without them it is not needed. It has to be granted CONNECT, which PUBLIC loses below.

SELECT format('CREATE ROLE %I LOGIN', role)
FROM unnest(ARRAY['shop_owner', 'shop', 'replicator']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
\gexec
SELECT 'CREATE DATABASE shop OWNER shop_owner' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'shop')
\gexec

-- Streams the log, and reads no table.
ALTER ROLE replicator REPLICATION;

-- The role of the URLs that rr is given. It sees which timeline a standby receives, and what the standbys are called: right
-- after a failover the other replicas are used at once, and they can be discovered. It reads no data by that.
GRANT pg_read_all_stats TO shop;

\connect shop
REVOKE ALL ON DATABASE shop FROM PUBLIC;
GRANT CONNECT ON DATABASE shop TO shop;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO shop_owner;
GRANT USAGE ON SCHEMA public TO shop;
-- Whatever the owner makes, the application may use and not alter. It needs TEMPORARY on the database for temporary tables.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO shop;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO shop;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO shop;
