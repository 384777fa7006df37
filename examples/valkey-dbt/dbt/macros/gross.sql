{# An amount in cents with the tax on it, rounded to a cent. #}
{% macro gross(cents, percent) %}
round({{ cents }} * (100 + {{ percent }}) / 100.0)
{% endmacro %}
