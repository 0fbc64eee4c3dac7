"""What every service is built on: settings, errors, logs, servers, channels and health."""
