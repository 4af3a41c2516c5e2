# check.R LOCK: fail where R or a package that is installed is not as renv.lock says.
locked <- jsonlite::fromJSON(commandArgs(trailingOnly = TRUE)[1], simplifyVector = FALSE)
wanted <- c(R = locked$R$Version, vapply(locked$Packages, function(each) each$Version, ""))
installed <- installed.packages()
own <- installed[is.na(installed[, "Priority"]) | installed[, "Priority"] == "recommended", "Version"]
found <- c(R = paste(R.version$major, R.version$minor, sep = "."), own)
names <- sort(union(names(wanted), names(found)))
shown <- function(version) ifelse(is.na(version), "not there", version)
wrong <- names[!mapply(identical, unname(wanted[names]), unname(found[names]))]
if (length(wrong)) {
  cat(sprintf("%s: renv.lock says %s, installed is %s\n",
              wrong, shown(wanted[wrong]), shown(found[wrong])), file = stderr(), sep = "")
  cat("The Debian mirror has other versions: make renv.lock anew, as README.md says.\n", file = stderr())
  quit(status = 1)
}
