# A web ACL before the API, if the variables ask for it: an existing one, or one with the rules that AWS manages.

locals {
  # The rules of AWS's core set that look at the body. The first refuses every body over 8 KB, and the others can take the
  # bytes of audio for an attack. So these rules only count, and our own rule refuses what they found, except uploads.
  waf_body_rules = [
    "SizeRestrictions_BODY", "CrossSiteScripting_BODY", "EC2MetaDataSSRF_BODY", "GenericLFI_BODY", "GenericRFI_BODY",
  ]
  waf_arn = var.enable_waf ? aws_wafv2_web_acl.api[0].arn : var.waf_web_acl_arn
}

resource "aws_wafv2_web_acl" "api" {
  count       = var.enable_waf ? 1 : 0
  name        = local.name
  description = "Before the API of ${local.name}"
  scope       = "REGIONAL"

  default_action {
    allow {}
  }

  rule {
    name     = "core"
    priority = 0
    override_action {
      none {}
    }
    statement {
      managed_rule_group_statement {
        vendor_name = "AWS"
        name        = "AWSManagedRulesCommonRuleSet"
        dynamic "rule_action_override" {
          for_each = local.waf_body_rules
          content {
            name = rule_action_override.value
            action_to_use {
              count {}
            }
          }
        }
      }
    }
    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${local.name}-core"
      sampled_requests_enabled   = true
    }
  }

  rule {
    name     = "bodies-but-for-uploads"
    priority = 1
    action {
      block {}
    }
    statement {
      and_statement {
        statement {
          label_match_statement {
            scope = "NAMESPACE"
            key   = "awswaf:managed:aws:core-rule-set:"
          }
        }
        statement {
          not_statement {
            statement {
              byte_match_statement {
                search_string         = "/${var.api_gateway_stage_name}/predict"
                positional_constraint = "EXACTLY"
                field_to_match {
                  uri_path {}
                }
                text_transformation {
                  priority = 0
                  type     = "NONE"
                }
              }
            }
          }
        }
      }
    }
    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${local.name}-bodies"
      sampled_requests_enabled   = true
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = local.name
    sampled_requests_enabled   = true
  }
}

resource "aws_wafv2_web_acl_association" "api" {
  count        = var.enable_waf || var.waf_web_acl_arn != null ? 1 : 0
  resource_arn = aws_api_gateway_stage.this.arn
  web_acl_arn  = local.waf_arn

  lifecycle {
    precondition {
      condition     = !(var.enable_waf && var.waf_web_acl_arn != null)
      error_message = "Give either enable_waf or waf_web_acl_arn: one web ACL stands before the API."
    }
  }
}
