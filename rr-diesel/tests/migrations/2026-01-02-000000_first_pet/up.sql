INSERT INTO pet (name) VALUES ('Rex');
