# Evaluates gitlab.rb as GitLab's package does at each start, and prints what it sets, as JSON.
require 'json'

# A section: what is asked of it and not there is a section itself.
class Section < Hash
  def initialize
    super { |parts, name| parts[name] = Section.new }
  end
end

# What a gitlab.rb is evaluated in: a word is a section; with a value it is set.
class Configuration < BasicObject
  def initialize
    @sections = ::Section.new
  end

  def sections(text, file)
    instance_eval(text, file)
    @sections
  end

  def method_missing(name, *given)
    given.empty? ? @sections[name.to_s] : @sections[name.to_s] = given.first
  end

  def respond_to_missing?(*)
    true
  end

  def self.const_missing(name)
    ::Object.const_get(name)
  end
end

puts JSON.generate(Configuration.new.sections(File.read(ARGV.first), ARGV.first))
