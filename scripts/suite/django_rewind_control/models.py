from __future__ import annotations

from django.db import models


class Control(models.Model):  # noqa: DJ008 (nothing ever looks at a row)
    id = models.BigAutoField(primary_key=True)

    class Meta:
        app_label = "django_rewind_control"
        managed = False
