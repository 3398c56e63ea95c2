# What tflint looks for:  tflint --recursive --config=$PWD/.tflint.hcl  in this folder. The rules are those that come with
# the program: nothing is downloaded.

plugin "terraform" {
  enabled = true
  preset  = "all"
}

rule "terraform_naming_convention" {
  enabled = true
  format  = "snake_case"
}

# One file for each part of the detector, and variables.tf only where there are variables.
rule "terraform_standard_module_structure" {
  enabled = false
}
