# What tflint looks for:  tflint --init --config=$PWD/.tflint.hcl && tflint --recursive --config=$PWD/.tflint.hcl
# in this folder. The plugin for AWS is downloaded by --init; CI runs both.

plugin "terraform" {
  enabled = true
  preset  = "all"
}

plugin "aws" {
  enabled = true
  version = "0.40.0"
  source  = "github.com/terraform-linters/tflint-ruleset-aws"
}

rule "terraform_naming_convention" {
  enabled = true
  format  = "snake_case"
}

# One file for each part of the detector, and variables.tf only where there are variables.
rule "terraform_standard_module_structure" {
  enabled = false
}
