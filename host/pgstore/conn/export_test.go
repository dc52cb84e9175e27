package conn

// Settings checks a configuration without a connection.
func Settings(cfg Config) error {
	if cfg.Schema == "" {
		cfg.Schema = defaultSchema
	}
	_, err := settings(cfg)
	return err
}
