# GitHub's workflows take a role for an hour by a token that names repository and GitHub environment; there are no keys.
# Each role trusts one environment of one repository. Who may use that environment, GitHub's protection rules say.

resource "aws_iam_openid_connect_provider" "github" {
  count          = var.create_oidc_provider ? 1 : 0
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  oidc_provider = "arn:${local.partition}:iam::${local.account_id}:oidc-provider/token.actions.githubusercontent.com"

  # The roles by GitHub environment: of which environment of the service, and what they may do.
  roles = {
    for name, role in {
      dev-plan   = { environment = "dev", may = ["read"] }
      dev        = { environment = "dev", may = ["read", "push", "change", "lock"] }
      prod-image = { environment = "prod", may = ["read", "push", "take", "leave-plan"] }
      prod       = { environment = "prod", may = concat(["read", "change", "lock", "take-plan"], var.shared_repository ? ["tag"] : []) }
    } : name => role if contains(var.environments, role.environment)
  }
}

resource "aws_iam_role" "github" {
  for_each             = local.roles
  name                 = "${var.project_name}-github-${each.key}"
  description          = "GitHub environment ${each.key} of ${var.github_repository}"
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = local.oidc_provider }
      Condition = {
        StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = "repo:${var.github_repository}:environment:${each.key}"
        }
      }
    }]
  })
  depends_on = [aws_iam_openid_connect_provider.github]
}

resource "aws_iam_role_policy" "github" {
  for_each = merge([for name, role in local.roles : { for may in role.may : "${name}-${may}" => { role = name, may = may } }]...)
  name     = each.value.may
  role     = aws_iam_role.github[each.value.role].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.rights[local.roles[each.value.role].environment][each.value.may]
  })
}
