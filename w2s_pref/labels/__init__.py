"""A supervisor's scores become labels: form, filters, combination, noise, agreement."""
